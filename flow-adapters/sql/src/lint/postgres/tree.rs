//! Names and kinds out of squawk's syntax tree.

use std::collections::BTreeSet;

use squawk_syntax::{SyntaxElement, SyntaxKind, SyntaxNode};

/// The first node below `node` whose kind is one of `kinds`, in the order of the text.
pub(super) fn first(node: &SyntaxNode, kinds: &[SyntaxKind]) -> Option<SyntaxNode> {
    node.descendants().find(|below| kinds.contains(&below.kind()))
}

/// All nodes below `node` of one of `kinds`.
pub(super) fn all(node: &SyntaxNode, kinds: &[SyntaxKind]) -> Vec<SyntaxNode> {
    node.descendants().filter(|below| kinds.contains(&below.kind())).collect()
}

/// Whether a node or token of `kind` stands anywhere below.
pub(super) fn has(node: &SyntaxNode, kind: SyntaxKind) -> bool {
    node.descendants_with_tokens().any(|below| below.kind() == kind)
}

/// Whether a node or token of `kind` stands directly below.
pub(super) fn holds(node: &SyntaxNode, kind: SyntaxKind) -> bool {
    node.children_with_tokens().any(|below| below.kind() == kind)
}

/// A name as the server keeps it, with its schema where that is written: quotes taken off, the rest in lower case.
pub(super) fn name(node: &SyntaxNode) -> String {
    let segments = all(node, &[SyntaxKind::PATH_SEGMENT_REF, SyntaxKind::PATH_SEGMENT]);
    if segments.is_empty() {
        return identifier(&node.text().to_string());
    }
    // A database's name before the schema's says nothing.
    let parts: Vec<_> = segments.iter().map(|segment| identifier(&segment.text().to_string())).collect();
    parts.get(parts.len().saturating_sub(2)..).unwrap_or_default().join(".")
}

/// The last part of a name.
pub(super) fn base(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(_, base)| base)
}

/// The columns that are named below `node`, in definitions and in expressions.
pub(super) fn columns(node: &SyntaxNode) -> BTreeSet<String> {
    let kinds = [SyntaxKind::COLUMN_NAME_REF, SyntaxKind::NAME_REF];
    all(node, &kinds).iter().map(|column| identifier(&column.text().to_string())).collect()
}

/// An identifier as the server keeps it.
pub(super) fn identifier(written: &str) -> String {
    let written = written.trim();
    match written.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(quoted) => quoted.replace("\"\"", "\""),
        None => written.to_lowercase(),
    }
}

/// The words of `node` without space, comments and brackets.
pub(super) fn words(node: &SyntaxNode) -> Vec<String> {
    let skipped = [SyntaxKind::WHITESPACE, SyntaxKind::COMMENT, SyntaxKind::L_PAREN, SyntaxKind::R_PAREN];
    let tokens = node.descendants_with_tokens().filter_map(SyntaxElement::into_token);
    tokens.filter(|token| !skipped.contains(&token.kind())).map(|token| identifier(token.text())).collect()
}
