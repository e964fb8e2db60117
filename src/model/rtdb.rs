//! Firebase Realtime Database trees, purely: normalisation, key order, key rules and limits (page 4).
