//! A file for several nodes: a section `[node_N]` for each, beside the keys that all of them share.

use super::document::{DocumentError, number};
use std::borrow::Cow;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

const INDEX: &str = "node_index";

/// The number of the section that applies: the one that is asked for, or else that of the shared `node_index`. `None` if the
/// file has no sections.
///
/// # Errors
/// If it has sections, and none is chosen or the chosen one is missing; if it has none and is for another node than is asked
/// for.
pub(super) fn chosen(
    document: &DeTable<'_>,
    asked: Option<u16>,
) -> Result<Option<u16>, DocumentError> {
    let shared = index_of(document);
    let sections: Vec<_> = document.keys().filter_map(section).collect();
    let Some((_, first_at)) = sections.first() else {
        return match asked {
            Some(asked) if shared.map(|(index, _)| index) != Some(asked.into()) => {
                let reason = format!(
                    "node {asked} is asked for: expected a section [node_{asked}], or {INDEX} = {asked}"
                );
                let offset = shared.map_or(0, |(_, offset)| offset);
                Err(DocumentError { offset, reason })
            }
            _ => Ok(None),
        };
    };
    let names: Vec<_> = (sections.iter())
        .map(|(number, _)| format!("[node_{number}]"))
        .collect();
    let names = names.join(", ");
    let (index, offset) = match (asked, shared) {
        (Some(asked), _) => (asked.into(), *first_at),
        (None, Some(shared)) => shared,
        (None, None) => {
            let reason = format!(
                "the file has the sections {names}: choose one with --node N, or with {INDEX} = N above them"
            );
            let offset = *first_at;
            return Err(DocumentError { offset, reason });
        }
    };
    let found = sections
        .iter()
        .find(|(number, _)| i128::from(*number) == index);
    match found {
        Some((number, _)) => Ok(Some(*number)),
        None => Err(DocumentError {
            offset,
            reason: format!("node {index} is asked for: expected one of the sections {names}"),
        }),
    }
}

/// Replaces the sections by the keys of this one, which count more than shared ones. `index` is the document of its
/// `node_index`.
///
/// # Errors
/// If the section is no table, or names another index.
pub(super) fn apply<'i>(
    document: &mut DeTable<'i>,
    number: u16,
    index: DeTable<'i>,
) -> Result<(), DocumentError> {
    let chosen = document.remove_entry(name_of(number).as_str());
    let others: Vec<_> = document.keys().filter_map(section).collect();
    for (other, _) in others {
        document.remove(name_of(other).as_str());
    }
    let Some((name, of_node)) = chosen else {
        return Ok(());
    };
    let DeValue::Table(of_node) = of_node.into_inner() else {
        return Err(DocumentError {
            offset: name.span().start,
            reason: format!("{} is not a section: expected [{0}]", name.get_ref()),
        });
    };
    if let Some((found, offset)) = index_of(&of_node)
        && found != number.into()
    {
        let reason = format!("{INDEX} is {found}: expected {number}, as the section says");
        return Err(DocumentError { offset, reason });
    }
    merge(document, of_node);
    merge(document, index);
    Ok(())
}

/// Adds these entries, also to inner tables; they replace those with the same key.
pub(super) fn merge<'i>(into: &mut DeTable<'i>, from: DeTable<'i>) {
    for (key, value) in from {
        let before = into.remove(&**key.get_ref());
        let value = match (
            before.map(Spanned::into_inner),
            value.span(),
            value.into_inner(),
        ) {
            (Some(DeValue::Table(mut shared)), span, DeValue::Table(own)) => {
                merge(&mut shared, own);
                Spanned::new(span, DeValue::Table(shared))
            }
            (_, span, own) => Spanned::new(span, own),
        };
        into.insert(key, value);
    }
}

/// The number and the place of a section.
fn section(key: &Spanned<Cow<'_, str>>) -> Option<(u16, usize)> {
    let number = key.get_ref().strip_prefix("node_")?.parse().ok()?;
    (**key.get_ref() == name_of(number)).then(|| (number, key.span().start))
}

fn name_of(section: u16) -> String {
    format!("node_{section}")
}

/// The index of a node and its place, if it is a number.
fn index_of(document: &DeTable<'_>) -> Option<(i128, usize)> {
    let (key, value) = document.get_key_value(INDEX)?;
    let index = value.get_ref().as_integer().and_then(number)?;
    Some((index, key.span().start))
}
