use std::collections::BTreeSet;

use super::catalogue::Catalogue;
use super::impact::{Advice, Algorithm, Impact, LockMode, Prediction, Rule};
use super::server::Product;
use super::{mysql, postgres, sqlite};

/// Judges the statements of one script, which run in one session, and advances `catalogue` by them.
///
/// A relation that the script itself makes is seen by nobody yet, so what is done to it is no impact.
pub fn lint<'a>(catalogue: &mut Catalogue, statements: impl IntoIterator<Item = &'a str>) -> Vec<Impact> {
    catalogue.fresh.clear();
    catalogue.session = catalogue.default_session.clone();
    let judge = match catalogue.server.product {
        Product::Postgres => postgres::judge,
        Product::Mariadb | Product::Mysql => mysql::judge,
        Product::Sqlite => sqlite::judge,
    };
    let judge = |statement| {
        let mut unseen = catalogue.fresh.clone();
        let draft = judge(catalogue, statement);
        unseen.extend(catalogue.fresh.iter().cloned());
        draft.finish(&unseen)
    };
    statements.into_iter().map(judge).collect()
}

/// A prediction in the making.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    prediction: Prediction,
    unread: Option<String>,
}

impl Draft {
    pub(crate) fn lock(&mut self, relation: &str, mode: LockMode) {
        let held = self.prediction.locks.entry(relation.to_owned()).or_insert(mode);
        *held = (*held).max(mode);
    }

    pub(crate) fn rewrite(&mut self, relation: &str) {
        self.prediction.rewrites.insert(relation.to_owned());
        self.scan(relation);
    }

    /// The relation gets a new, empty file: nothing is read.
    pub(crate) fn truncate(&mut self, relation: &str) {
        self.prediction.rewrites.insert(relation.to_owned());
    }

    pub(crate) fn scan(&mut self, relation: &str) {
        self.prediction.scans.insert(relation.to_owned());
    }

    pub(crate) fn algorithm(&mut self, algorithm: Algorithm) {
        self.prediction.algorithm = self.prediction.algorithm.max(Some(algorithm));
    }

    pub(crate) fn rule(&mut self, (name, source): (&str, &str)) {
        let rule = Rule { name: name.to_owned(), source: source.to_owned() };
        if !self.prediction.rules.contains(&rule) {
            self.prediction.rules.push(rule);
        }
    }

    pub(crate) fn advise(&mut self, lint: &str, problem: impl Into<String>, instead: impl Into<String>) {
        let advice = Advice { lint: lint.to_owned(), problem: problem.into(), instead: instead.into() };
        if !self.prediction.advice.contains(&advice) {
            self.prediction.advice.push(advice);
        }
    }

    /// The statement does more than is known.
    pub(crate) fn unread(&mut self, reason: impl Into<String>) {
        self.unread.get_or_insert_with(|| reason.into());
    }

    pub(crate) fn locks(&self) -> impl Iterator<Item = (&String, &LockMode)> {
        self.prediction.locks.iter()
    }

    /// Forgets the locks of all relations that `is_meant` is not true of.
    pub(crate) fn keep_locks(&mut self, is_meant: impl Fn(&str) -> bool) {
        self.prediction.locks.retain(|relation, _| is_meant(relation));
    }

    fn finish(self, unseen: &BTreeSet<String>) -> Impact {
        if let Some(reason) = self.unread {
            return Impact::Unvalidated { reason };
        }
        let mut prediction = self.prediction;
        let seen = |relation: &String| !unseen.contains(relation);
        prediction.locks.retain(|relation, _| seen(relation));
        prediction.rewrites.retain(seen);
        prediction.scans.retain(seen);
        Impact::Predicted(prediction)
    }
}
