//! Printing what a user wrote without printing a secret.

/// A user's own text in an error message: in backticks, unless it could hold credentials or is long.
///
/// Only short text of plain word characters is repeated. Whatever could be a URL (`:`, `/`, `@`) or carry
/// control characters into a log is left out, since a value may have landed in the wrong key.
pub(super) fn shown(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '_' | '-' | '.' | '%' | '(' | ')' | '+');
    if text.is_empty() {
        "an empty text".to_owned()
    } else if text.chars().count() <= 40 && text.chars().all(plain) {
        format!("`{text}`")
    } else {
        "this text".to_owned()
    }
}
