//! The settings that a script makes for what follows in it.

use squawk_syntax::ast::{self, AstNode};
use squawk_syntax::{SyntaxKind, SyntaxNode};

use super::super::catalogue::Catalogue;
use super::tree;

/// Takes in `SET`.
pub(super) fn set(catalogue: &mut Catalogue, set: &ast::Set) {
    let node = set.syntax();
    if tree::first(node, &[SyntaxKind::SET_TIME_ZONE]).is_some() {
        catalogue.session.time_zone = value(node);
        return;
    }
    let parameter =
        tree::first(node, &[SyntaxKind::CONFIG_PARAMETER_REF]).map(|parameter| tree::name(&parameter));
    match parameter.as_deref() {
        Some("timezone") => catalogue.session.time_zone = value(node),
        Some("search_path") => catalogue.session.schema = value(node).unwrap_or_default(),
        Some("lock_timeout") => {
            let off =
                value(node).is_none_or(|value| value.chars().all(|digit| !('1'..='9').contains(&digit)));
            catalogue.session.lock_timeout = !off;
        }
        _ => {}
    }
}

/// The first value that is set.
fn value(set: &SyntaxNode) -> Option<String> {
    let value = tree::first(set, &[SyntaxKind::LITERAL, SyntaxKind::CONFIG_VALUE_NAME])?;
    let text = value.text().to_string();
    let text = text.trim().trim_matches('\'');
    (!text.eq_ignore_ascii_case("default")).then(|| tree::identifier(text))
}
