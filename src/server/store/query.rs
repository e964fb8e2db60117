//! Queries over the children of a place: what is asked, and walking the answer in its order.

use rusqlite::{Connection, ToSql};
use serde_json::Value as Json;

use super::{
    find::{self, Node, Value},
    index::{existing, expression, value_key},
    render::{are_dense, entry, is_index},
    sink::Stop,
    tree::members,
};
use crate::model::rtdb::{sort_key, value_sort_key};

/// `orderBy` with its bounds and limit.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::server) struct Query {
    order: Order,
    start: Option<Bound>,
    end: Option<Bound>,
    limit: Option<Limit>,
}

#[derive(Debug, Clone, PartialEq)]
enum Order {
    Key,
    /// Keys joined by `/`; empty for the value itself, ending in `.priority` for priorities.
    Child(String),
}

/// The sort bytes of a bound, and whether what is equal to it is in.
#[derive(Debug, Clone, PartialEq)]
struct Bound {
    sort: Vec<u8>,
    inclusive: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Limit {
    First(usize),
    Last(usize),
}

/// One child of an answer, lent while its row is read.
pub(in crate::server) struct Entry<'r> {
    pub(in crate::server) key: &'r str,
    pub(super) content: Content<'r>,
}

pub(super) enum Content<'r> {
    /// Stored text.
    Text(&'r str),
    Rows {
        id: i64,
        priority: Option<&'r str>,
    },
}

/// Says what is wrong with the parameters, in the real database's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::server) struct QueryError(pub(in crate::server) String);

pub(in crate::server) const PARAMETERS: [&str; 8] =
    ["startAt", "startAfter", "endAt", "endBefore", "equalTo", "limitToFirst", "limitToLast", "orderBy"];

impl Query {
    /// Reads the query parameters of a request; `None` where there are none.
    pub(in crate::server) fn read<'p>(
        parameter: impl Fn(&str) -> Option<&'p str>,
    ) -> Result<Option<Query>, QueryError> {
        let fail = |text: String| Err(QueryError(text));
        if PARAMETERS.iter().all(|name| parameter(name).is_none()) {
            return Ok(None);
        }
        let Some(order) = parameter("orderBy") else {
            return fail("orderBy must be defined when other query parameters are defined".to_owned());
        };
        let order = match serde_json::from_str::<Json>(order) {
            Ok(Json::String(order)) => Order::read(&order)?,
            _ => return fail("orderBy must be a valid JSON encoded path".to_owned()),
        };
        let bound = |name: &str, inclusive: bool| match parameter(name) {
            Some(text) => order.bound(name, text, inclusive).map(Some),
            None => Ok(None),
        };
        let either = |a: Option<Bound>, b: Option<Bound>, names: &str| match (a, b) {
            (Some(_), Some(_)) => Err(QueryError(format!("Only one of {names} may be given"))),
            (a, b) => Ok(a.or(b)),
        };
        let mut start = either(bound("startAt", true)?, bound("startAfter", false)?, "startAt and startAfter")?;
        let mut end = either(bound("endAt", true)?, bound("endBefore", false)?, "endAt and endBefore")?;
        if let Some(equal) = bound("equalTo", true)? {
            if start.is_some() || end.is_some() {
                return fail(
                    "equalTo cannot be specified in addition to startAfter, startAt, endAt, or endBefore".to_owned(),
                );
            }
            (start, end) = (Some(equal.clone()), Some(equal));
        }
        let number = |name: &str| match parameter(name).map(str::parse::<usize>) {
            None => Ok(None),
            Some(Ok(count)) if count > 0 => Ok(Some(count)),
            Some(_) => Err(QueryError(format!("{name} must be a positive integer"))),
        };
        let limit = match (number("limitToFirst")?, number("limitToLast")?) {
            (Some(_), Some(_)) => return fail("Only one of limitToFirst and limitToLast may be given".to_owned()),
            (first, last) => first.map(Limit::First).or(last.map(Limit::Last)),
        };
        Ok(Some(Query { order, start, end, limit }))
    }

    /// True where one child's membership does not depend on the others.
    pub(in crate::server) fn is_unlimited(&self) -> bool {
        self.limit.is_none()
    }

    /// True where a child with this plain or stored text is within the bounds.
    pub(in crate::server) fn admits(&self, key: &str, text: &str) -> bool {
        let sort = match &self.order {
            Order::Key => sort_key(key),
            Order::Child(path) => value_key(text, path),
        };
        self.start.as_ref().is_none_or(|bound| bound.is_below(&sort))
            && self.end.as_ref().is_none_or(|bound| bound.is_above(&sort))
    }

    /// The child path, where an index would help.
    pub(in crate::server) fn child(&self) -> Option<&str> {
        match &self.order {
            Order::Key => None,
            Order::Child(path) => Some(path),
        }
    }

    /// The name under which rules index this order, as the real database's error spells it; `None`: needs no index.
    pub(in crate::server) fn index_name(&self) -> Option<&str> {
        match &self.order {
            Order::Child(path) if path.is_empty() => Some(".value"),
            Order::Child(path) if path != ".priority" => Some(path),
            _ => None,
        }
    }
}

impl Order {
    fn read(name: &str) -> Result<Self, QueryError> {
        match name {
            "$key" => Ok(Self::Key),
            "$value" => Ok(Self::Child(String::new())),
            "$priority" => Ok(Self::Child(".priority".to_owned())),
            path => {
                let keys: Vec<&str> = path.split('/').filter(|key| !key.is_empty()).collect();
                if keys.is_empty() || keys.iter().any(|key| crate::model::rtdb::check_key(key).is_err()) {
                    return Err(QueryError("orderBy must be a valid JSON encoded path".to_owned()));
                }
                Ok(Self::Child(keys.join("/")))
            }
        }
    }

    fn bound(&self, name: &str, text: &str, inclusive: bool) -> Result<Bound, QueryError> {
        let sort = match (self, serde_json::from_str::<Json>(text)) {
            (Self::Key, Ok(Json::String(key))) => sort_key(&key),
            (Self::Key, _) => return Err(QueryError(format!("{name} must be a JSON string when orderBy is \"$key\""))),
            (Self::Child(_), Ok(value)) if !value.is_object() && !value.is_array() => value_sort_key(&value),
            _ => return Err(QueryError("Constraint index field must be a JSON primitive".to_owned())),
        };
        Ok(Bound { sort, inclusive })
    }
}

impl Bound {
    fn is_below(&self, sort: &[u8]) -> bool {
        if self.inclusive { self.sort.as_slice() <= sort } else { self.sort.as_slice() < sort }
    }

    fn is_above(&self, sort: &[u8]) -> bool {
        if self.inclusive { self.sort.as_slice() >= sort } else { self.sort.as_slice() > sort }
    }
}

type Visitor<'v> = &'v mut dyn FnMut(Entry<'_>) -> Result<(), Stop>;

/// Calls `visitor` for every child of `path` the query admits, in ascending order.
pub(in crate::server) fn visit(
    connection: &Connection,
    path: &[String],
    query: &Query,
    visitor: Visitor<'_>,
) -> Result<(), Stop> {
    match find::value(connection, path)? {
        Value::Nothing => Ok(()),
        Value::Text(text) => visit_text(&text, query, visitor),
        Value::Rows { id, .. } => {
            let splits = "SELECT 1 FROM nodes INDEXED BY splits WHERE parent = ?1 AND body IS NULL LIMIT 1";
            match &query.order {
                Order::Child(child) if connection.prepare_cached(splits)?.exists([id])? => {
                    visit_mixed(connection, id, child, query, visitor)
                }
                _ => {
                    let mut statement = Statement::new(connection, id, query, "key, body, id, priority")?;
                    statement.run(connection, &mut |row| visitor(entry(row)?))
                }
            }
        }
    }
}

/// True where the answer's keys make it an array. Reads keys only, and stops at the first that is no index.
pub(super) fn reads_as_array(connection: &Connection, path: &[String], query: &Query) -> Result<bool, Stop> {
    let mut keys = Vec::new();
    let outcome = visit(connection, path, query, &mut |entry| {
        if !is_index(entry.key) {
            return Err(Stop::Enough);
        }
        keys.push(entry.key.to_owned());
        Ok(())
    });
    match outcome {
        Ok(()) => {
            let mut keys = keys.into_iter();
            Ok(are_dense(|| Ok(keys.next()))?)
        }
        Err(Stop::Enough) => Ok(false),
        Err(error) => Err(error),
    }
}

fn visit_text(text: &str, query: &Query, visitor: Visitor<'_>) -> Result<(), Stop> {
    let mut list: Vec<(Vec<u8>, Vec<u8>, _, &str)> = members(text)
        .expect("stored text was written by us")
        .into_iter()
        .filter(|(key, raw)| !key.starts_with('.') && *raw != "null" && query.admits(key, raw))
        .map(|(key, raw)| {
            let order = query.child().map(|path| value_key(raw, path)).unwrap_or_default();
            (order, sort_key(&key), key, raw)
        })
        .collect();
    list.sort_unstable();
    cut(&mut list, query.limit);
    list.iter().try_for_each(|(_, _, key, raw)| visitor(Entry { key, content: Content::Text(raw) }))
}

fn cut<T>(list: &mut Vec<T>, limit: Option<Limit>) {
    match limit {
        Some(Limit::First(count)) => list.truncate(count),
        Some(Limit::Last(count)) => drop(list.drain(..list.len().saturating_sub(count))),
        None => {}
    }
}

/// Children that are rows themselves are outside every index: their places are found one by one and merged in.
fn visit_mixed(connection: &Connection, id: i64, child: &str, query: &Query, visitor: Visitor<'_>) -> Result<(), Stop> {
    let mut places: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let columns = format!("{}, sort", expression(child));
    Statement::new(connection, id, query, &columns)?.run(connection, &mut |row| {
        places.push((row.get(0)?, row.get(1)?));
        Ok(())
    })?;
    let mut statement = connection.prepare_cached(
        "SELECT sort, id, priority FROM nodes INDEXED BY splits WHERE parent = ?1 AND body IS NULL ORDER BY sort",
    )?;
    let mut rows = statement.query([id])?;
    while let Some(row) = rows.next()? {
        let order = match child {
            ".priority" => value_key(row.get::<_, Option<String>>(2)?.as_deref().unwrap_or("null"), ""),
            _ => order_below(connection, row.get(1)?, child)?,
        };
        let admitted = query.start.as_ref().is_none_or(|bound| bound.is_below(&order))
            && query.end.as_ref().is_none_or(|bound| bound.is_above(&order));
        if admitted {
            places.push((order, row.get(0)?));
        }
    }
    places.sort_unstable();
    cut(&mut places, query.limit);
    let mut statement =
        connection.prepare_cached("SELECT key, body, id, priority FROM nodes WHERE parent = ?1 AND sort = ?2")?;
    for (_, sort) in places {
        let mut rows = statement.query((id, sort))?;
        if let Some(row) = rows.next()? {
            visitor(entry(row)?)?;
        }
    }
    Ok(())
}

/// The order of the child at `path` below a node that is rows.
fn order_below(connection: &Connection, id: i64, path: &str) -> rusqlite::Result<Vec<u8>> {
    let object = || value_sort_key(&Json::Array(Vec::new()));
    let (key, rest) = path.split_once('/').unwrap_or((path, ""));
    if key.is_empty() {
        return Ok(object());
    }
    match find::row(connection, id, &sort_key(key))? {
        None => Ok(value_sort_key(&Json::Null)),
        Some(Node::Body(body)) => Ok(value_key(&body, rest)),
        Some(Node::Split { id, .. }) => order_below(connection, id, rest),
    }
}

/// The SELECT of a query over rows.
struct Statement {
    sql: String,
    bounds: Vec<Vec<u8>>,
}

impl Statement {
    fn new(connection: &Connection, id: i64, query: &Query, columns: &str) -> rusqlite::Result<Self> {
        let (order, from) = match &query.order {
            Order::Key => ("sort".to_owned(), format!("FROM nodes WHERE parent = {id}")),
            Order::Child(path) => {
                let by = existing(connection, id, path)?.map(|name| format!(" INDEXED BY {name}")).unwrap_or_default();
                (expression(path), format!("FROM nodes{by} WHERE parent = {id} AND body IS NOT NULL"))
            }
        };
        let mut sql = from;
        let mut bounds = Vec::new();
        for (bound, sign) in [(&query.start, '>'), (&query.end, '<')] {
            if let Some(bound) = bound {
                sql.push_str(&format!(" AND {order} {sign}{} ?", if bound.inclusive { "=" } else { "" }));
                bounds.push(bound.sort.clone());
            }
        }
        let sql = match query.limit {
            None => format!("SELECT {columns} {sql} ORDER BY {order}, sort"),
            Some(Limit::First(count)) => format!("SELECT {columns} {sql} ORDER BY {order}, sort LIMIT {count}"),
            Some(Limit::Last(count)) => format!(
                "SELECT * FROM (SELECT {columns}, {order} AS place, sort AS tie {sql} \
                 ORDER BY {order} DESC, sort DESC LIMIT {count}) ORDER BY place, tie"
            ),
        };
        Ok(Self { sql, bounds })
    }

    fn run(
        &mut self,
        connection: &Connection,
        each: &mut dyn FnMut(&rusqlite::Row<'_>) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let mut statement = connection.prepare_cached(&self.sql)?;
        let bounds: Vec<&dyn ToSql> = self.bounds.iter().map(|bound| bound as &dyn ToSql).collect();
        let mut rows = statement.query(bounds.as_slice())?;
        while let Some(row) = rows.next()? {
            each(row)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::store::{Database, Tree, index, write};

    fn plan(connection: &Connection, parameters: &[(&str, &str)]) -> String {
        let find = |name: &str| parameters.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        let query = Query::read(find).unwrap().unwrap();
        let statement = Statement::new(connection, 2, &query, "key, body, id, priority").unwrap();
        let mut explained = connection.prepare(&format!("EXPLAIN QUERY PLAN {}", statement.sql)).unwrap();
        let bounds: Vec<&dyn ToSql> = statement.bounds.iter().map(|bound| bound as &dyn ToSql).collect();
        let rows = explained.query_map(bounds.as_slice(), |row| row.get::<_, String>(3)).unwrap();
        rows.map(Result::unwrap).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn pages_are_range_scans_and_children_are_read_by_their_index() {
        let opened = Database::open(None, "here").unwrap();
        let connection = &opened.writer;
        let members: Vec<String> = (0..2_100).map(|n| format!("\"k{n}\":{{\"n\":{n}}}")).collect();
        let tree = Tree::parse(&format!("{{\"c\":{{{}}}}}", members.join(",")), 0, 0).unwrap();
        write::set(connection, &mut write::Ids::load(connection).unwrap(), &[], tree.as_ref()).unwrap();
        let page = plan(connection, &[("orderBy", "\"$key\""), ("startAt", "\"k5\""), ("limitToFirst", "9")]);
        assert_eq!(page, "SEARCH nodes USING PRIMARY KEY (parent=? AND sort>?)");
        let child = [("orderBy", "\"n\""), ("startAt", "5"), ("limitToFirst", "9")];
        assert!(plan(connection, &child).contains("TEMP B-TREE"));
        let place = ["c".to_owned()];
        assert!(index::wants_index(connection, &place, "n").unwrap());
        index::make_index(connection, &place, "n").unwrap();
        assert!(!index::wants_index(connection, &place, "n").unwrap());
        assert_eq!(plan(connection, &child), "SEARCH nodes USING INDEX child_2_6e (<expr>>?)");
    }
}
