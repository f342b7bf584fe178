//! The suites live in `api`, `guest` and `e2e`; see README.md here.
