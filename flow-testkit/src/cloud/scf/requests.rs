use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::clock::beijing;
use super::super::envelope::Answer;
use super::super::params::Params;
use super::super::world::World;
use super::function::Function;

/// How many calls of a function are remembered. Assumed.
const KEPT: usize = 100;

/// A call that was carried out.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) id: String,
    pub(super) started: Timestamp,
    pub(super) answer: String,
    pub(super) failed: bool,
    pub(super) memory: i64,
}

impl Function {
    pub(super) fn remember(&mut self, ran: Ran) {
        if self.ran.len() == KEPT {
            self.ran.pop_front();
        }
        self.ran.push_back(ran);
    }
}

/// How a call ended, also one that nobody waited for.
pub(super) fn get(world: &mut World, params: &Params<'_>) -> Answer {
    let function = world.functions.find(params)?;
    let id = params.needed("FunctionRequestId");
    let rows: Vec<Value> = function
        .ran
        .iter()
        .filter(|ran| ran.id == id)
        .map(|ran| {
            json!({ "FunctionName": function.name, "RetMsg": ran.answer, "RequestId": ran.id, "StartTime": beijing(ran.started),
                "RetCode": i32::from(ran.failed), "Duration": 1.5, "MemUsage": ran.memory, "RetryNum": 0 })
        })
        .collect();
    Ok(json!({ "TotalCount": rows.len(), "Data": rows }))
}
