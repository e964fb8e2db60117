"""One call of Google's own client against a server: firebase_admin_edit.py URL set|get PATH [JSON]."""

import json
import os
import sys
from urllib.parse import urlparse

url, verb, path, *rest = sys.argv[1:]
os.environ["FIREBASE_DATABASE_EMULATOR_HOST"] = urlparse(url).netloc

import firebase_admin  # noqa: E402  (the environment must be set first)
from firebase_admin import credentials, db  # noqa: E402
from google.auth.credentials import AnonymousCredentials  # noqa: E402


class Anonymous(credentials.Base):
    def get_credential(self):
        return AnonymousCredentials()


firebase_admin.initialize_app(Anonymous(), {"databaseURL": url + "?ns=ebbtide", "projectId": "ebbtide"})
reference = db.reference(path)
if verb == "set":
    reference.set(json.loads(rest[0]))
elif verb == "get":
    print(json.dumps(reference.get()))
else:
    sys.exit(f"unknown verb {verb}")
