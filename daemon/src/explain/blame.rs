//! What keeps a detection from firing: conditions that are not true, and places where rows end.
//!
//! In: stages as one subject meets them. Out: what is to blame, from the first stage to the last. A stage is looked
//! at if the final SELECT has no row without it; of a UNION without a row, each branch.

use super::{End, Short, Verdict};
use crate::query::observe::{Block, Condition, Role, Stage};

/// What is to blame; nothing where it fires, unless what was observed contradicts itself.
pub(super) fn of(stages: &[Stage], verdict: Verdict, subject: &str) -> (Vec<Short>, Vec<End>) {
    let mut blame =
        Blame { stages, subject, short: Vec::new(), ends: Vec::new(), visited: vec![false; stages.len()] };
    if let Some(last) = stages.last() {
        blame.visit(&last.name);
    }
    let found_none = blame.short.is_empty() && blame.ends.is_empty();
    if found_none && verdict != Verdict::Fires {
        let empty = stages.iter().find(|s| s.required && s.by_subject && s.rows == 0).or(stages.last());
        let why = "it has no row of the subject, and what it does is not followed further";
        blame.ends.extend(empty.map(|stage| End { stage: stage.name.clone(), why: why.to_owned() }));
    }
    (blame.short, blame.ends)
}

struct Blame<'a> {
    stages: &'a [Stage],
    subject: &'a str,
    short: Vec<Short>,
    ends: Vec<End>,
    visited: Vec<bool>,
}

impl Blame<'_> {
    fn visit(&mut self, name: &str) {
        let Some(index) = self.stages.iter().position(|stage| stage.name == name) else { return };
        let stage = &self.stages[index];
        let has_other_branch = stage.blocks.len() > 1 && stage.rows > 0;
        if std::mem::replace(&mut self.visited[index], true) || has_other_branch {
            return;
        }
        if stage.rows == 0 && stage.blocks.iter().all(|block| block.sources.is_empty()) {
            self.end(
                stage,
                "how it is computed is not followed, and it has no row of the subject".to_owned(),
            );
        }
        for block in &stage.blocks {
            self.sources(stage, block);
            self.block(stage, block);
        }
    }

    fn sources(&mut self, stage: &Stage, block: &Block) {
        for source in block.sources.iter().filter(|source| !source.is_outer) {
            if source.is_stage {
                self.visit(&source.name);
            } else if source.rows == 0 && source.by_subject {
                self.end(stage, format!("table {} has no row of {}", source.name, self.subject));
            } else if source.rows == 0 {
                self.end(stage, format!("table {} is empty", source.name));
            }
        }
    }

    fn block(&mut self, stage: &Stage, block: &Block) {
        let has_all = block.sources.iter().all(|source| source.is_outer || source.rows > 0);
        if block.rows_in == 0 && has_all && !block.sources.is_empty() {
            let names: Vec<String> =
                block.sources.iter().map(|s| format!("{} ({} rows)", s.name, s.rows)).collect();
            self.end(stage, format!("no row of one matches a row of the others: {}", names.join(", ")));
        }
        for condition in &block.conditions {
            let keeps_rows_out = match condition.role {
                Role::Join | Role::Where => block.rows_left == 0,
                Role::Having => stage.rows == 0,
                Role::Level => true,
                Role::Mark => false,
            };
            if keeps_rows_out && condition.asked > 0 {
                self.condition(stage, condition);
            }
        }
    }

    fn condition(&mut self, stage: &Stage, condition: &Condition) {
        for (node, is_alternative) in condition.node.blamed() {
            self.short.push(Short {
                stage: stage.name.clone(),
                role: condition.role,
                line: condition.line,
                asked: condition.asked,
                is_alternative,
                node: node.clone(),
            });
        }
    }

    fn end(&mut self, stage: &Stage, why: String) {
        let end = End { stage: stage.name.clone(), why };
        if !self.ends.contains(&end) {
            self.ends.push(end);
        }
    }
}
