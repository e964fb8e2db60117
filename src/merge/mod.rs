//! Pure merging: three-way per JSON pointer, coalescing of unsent ops, rebasing.
