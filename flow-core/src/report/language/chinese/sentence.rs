use super::word::list;
use super::{standard, word};
use crate::error::Cause;
use crate::journal::{End, Signal, Standing};
use crate::name::Name;
use crate::report::{
    AnomalyKind, DecisionKind, Direction, Document, Failure, GateVerdict, Handling, MoveMade, ReportOutcome,
    RollbackReport, TargetEnd,
};
use crate::stage::StageName;

pub(super) fn title(document: &Document) -> String {
    document.run.as_ref().map_or_else(
        || "部署报告".to_owned(),
        |run| {
            format!("部署报告：{} {}，{}", run.application, run.release, word::environment(run.environment))
        },
    )
}

pub(super) fn outcome(document: &Document) -> String {
    if document.run.is_none() {
        return "没有任何记录：本次部署尚未开始。".to_owned();
    }
    let text = match document.outcome {
        ReportOutcome::Completed => return completed(document),
        ReportOutcome::RolledBack => "已回滚：已完成的变更全部撤销。",
        ReportOutcome::Parked if document.rollback.is_none() => {
            "已挂起：新版本已通过验证并正在提供服务，但收尾工作未能全部完成。"
        }
        ReportOutcome::Parked => "已挂起：部分变更未能撤销，需要人工处理。",
        ReportOutcome::Held => "已暂停：部署失败，现状原样保留，等待人工决定。",
        ReportOutcome::Closed => "已关闭：有人结束了本次部署，并对尚未撤销的内容负责。",
        ReportOutcome::Running if document.rollback.is_some() => "未结束：正在回滚。",
        ReportOutcome::Running => "未结束：正在部署。",
    };
    text.to_owned()
}

fn completed(document: &Document) -> String {
    let broken = document.gates.iter().filter(|gate| gate.verdict == GateVerdict::Broken);
    let broken: Vec<&str> = broken.map(|gate| word::gate(gate.gate)).collect();
    if broken.is_empty() {
        return "已完成：八个阶段全部完成。".to_owned();
    }
    format!("已完成：八个阶段全部完成，但以下指标未达到部署质量标准：{}。", broken.join("、"))
}

/// A cause with its facts and the causes below it.
pub(super) fn cause(cause: &Cause) -> String {
    let mut text = cause.message.clone();
    let facts: Vec<String> = cause.facts.iter().map(|(name, value)| format!("{name}：`{value}`")).collect();
    if !facts.is_empty() {
        text.push_str(&format!("（{}）", facts.join("，")));
    }
    for below in &cause.chain {
        text.push_str(&format!("：{below}"));
    }
    text
}

/// A step of a stage.
pub(super) fn step_of(stage: StageName, step: &Name) -> String {
    format!("「{}」阶段的步骤 `{step}`", standard::stage(stage))
}

pub(super) fn failure(failure: &Failure) -> String {
    let cause = cause(&failure.cause);
    match (failure.stage, &failure.step) {
        (Some(stage), Some(step)) => format!("部署在{} 处失败：{cause}", step_of(stage, step)),
        (Some(stage), None) => format!("部署在「{}」阶段停止：{cause}", standard::stage(stage)),
        (None, _) => format!("部署在最后一个阶段之后停止：{cause}"),
    }
}

pub(super) fn took(rollback: &RollbackReport) -> String {
    let took = word::duration(rollback.duration_ms);
    if rollback.ended.is_some() {
        format!("回滚于 {} 开始，耗时 {took}。", rollback.began)
    } else {
        format!("回滚于 {} 开始，至今已耗时 {took}。", rollback.began)
    }
}

pub(super) fn undone(end: &TargetEnd) -> String {
    match end {
        TargetEnd::Pending => "等待撤销".to_owned(),
        TargetEnd::Undone => "已撤销".to_owned(),
        TargetEnd::Failed { cause: why } => format!("尚未撤销：{}", cause(why)),
        TargetEnd::Resolved { by: Some(by), evidence: Some(evidence) } => {
            format!("已由 {by} 处理：{evidence}")
        }
        TargetEnd::Resolved { .. } => "已人工处理".to_owned(),
    }
}

pub(super) fn standing(standing: &Standing) -> String {
    format!("{} 尚未撤销：{}", step_of(standing.stage, &standing.step), standing.reason)
}

pub(super) fn made(made: &MoveMade) -> String {
    match made {
        MoveMade::Launched { instances } if instances.is_empty() => "启动实例".to_owned(),
        MoveMade::Launched { instances } => format!("启动 {}", list(instances)),
        MoveMade::Shifted { weights } => {
            let shares: Vec<String> =
                weights.iter().map(|(version, share)| format!("{version} {share} %")).collect();
            format!("切换流量：{}", shares.join("，"))
        }
        MoveMade::Baked { until: Some(until) } => format!("观察至 {until}"),
        MoveMade::Baked { until: None } => "观察等待".to_owned(),
        MoveMade::Judged { judgement } => {
            format!("质量门禁{}：{}", word::judged(judgement.verdict), judgement.reason)
        }
        MoveMade::Awaited { signal } => match signal {
            None => "等待人工审批".to_owned(),
            Some(Signal::Approved { by }) => format!("{by} 已批准"),
            Some(Signal::Refused { by, reason }) => format!("{by} 已拒绝：{reason}"),
            Some(Signal::TimedOut) => "在规定时间内无人审批".to_owned(),
        },
        MoveMade::Retired { instances } => format!("停止 {}", list(instances)),
        MoveMade::Unknown => "执行日志未说明的变更".to_owned(),
    }
}

pub(super) fn anomaly(anomaly: &AnomalyKind) -> String {
    match anomaly {
        AnomalyKind::AttemptFailed { call, attempt, end, cause: why } => {
            format!("`{call}` 的第 {attempt} 次尝试{}：{}", ended(*end), cause(why))
        }
        AnomalyKind::CallFailed { call, end, cause: why } => {
            format!("`{call}` {}：{}", ended(*end), cause(why))
        }
        AnomalyKind::TakenOver { from, to, gap_ms, direction, lost, .. } => {
            let while_it = match direction {
                Direction::Forward => "部署",
                Direction::Back => "回滚",
            };
            let lost = if lost.is_empty() {
                "当时没有进行中的调用".to_owned()
            } else {
                format!("此后结果不明的调用：{}", list(lost))
            };
            let gap = word::duration(*gap_ms);
            format!("执行者 `{from}` 在{while_it}过程中失联；`{to}` 于 {gap}后接管；{lost}")
        }
        AnomalyKind::NotPassed { step, judgement, .. } => {
            format!("`{step}` 的质量门禁{}：{}", word::judged(judgement.verdict), judgement.reason)
        }
        AnomalyKind::NotApproved { call, by: Some(by), reason } => {
            format!("{by} 拒绝了 `{call}`：{}", reason.as_deref().unwrap_or_default())
        }
        AnomalyKind::NotApproved { call, .. } => format!("`{call}` 在规定时间内无人审批"),
        AnomalyKind::Cancelled { cause: why } => format!("部署被外部停止：{}", cause(why)),
        AnomalyKind::Held { cause: why } => format!("部署已暂停：{}", cause(why)),
        AnomalyKind::UndoFailed { stage, step, cause: why } => {
            format!("{} 未能撤销：{}", step_of(*stage, step), cause(why))
        }
        AnomalyKind::Parked { cause: why, standing } => {
            let steps: Vec<_> = standing.iter().map(|standing| &standing.step).collect();
            format!("部署已挂起：{}；尚未撤销：{}", cause(why), list(&steps))
        }
        AnomalyKind::ReceiptUnreadable { stage, step } => {
            format!("{} 的回执无法完整读取", step_of(*stage, step))
        }
    }
}

/// How a call ended, as the end of a clause.
const fn ended(end: End) -> &'static str {
    match end {
        End::Done => "成功",
        End::Rejected => "失败",
        End::Cancelled => "被取消",
        End::InDoubt => "结果不明",
    }
}

pub(super) fn handling(handling: &Handling) -> String {
    match handling {
        Handling::TriedAgain { attempts, end: None } => format!("已重试（目前共尝试 {attempts} 次）"),
        Handling::TriedAgain { attempts, end: Some(end) } => {
            format!("已重试：该调用共尝试 {attempts} 次，最终{}", ended(*end))
        }
        Handling::NothingLeft => "未留下任何影响".to_owned(),
        Handling::TurnedBack => "部署转入回滚".to_owned(),
        Handling::Undone => "该步骤已撤销".to_owned(),
        Handling::NothingToUndo => "该步骤无需撤销".to_owned(),
        Handling::Stands => "尚未撤销".to_owned(),
        Handling::WentOn => "新的执行者从执行日志的末尾继续".to_owned(),
        Handling::PassedLater => "再次判定后，质量门禁通过".to_owned(),
        Handling::GivenUp => "已放弃该服务的更新".to_owned(),
        Handling::Released { by } => format!("{by} 决定继续部署"),
        Handling::Resumed { by } => format!("{by} 要求重试"),
        Handling::Resolved { step, by, evidence } => format!("{by} 对 `{step}` 负责：{evidence}"),
        Handling::Closed { by, reason } => format!("{by} 关闭了本次部署：{reason}"),
    }
}

pub(super) fn decision(decision: &DecisionKind) -> String {
    match decision {
        DecisionKind::Approved { call } => format!("批准了 `{call}`"),
        DecisionKind::Refused { call, reason } => format!("拒绝了 `{call}`：{reason}"),
        DecisionKind::Released => "决定继续已暂停的部署".to_owned(),
        DecisionKind::Resumed => "要求已挂起的部署重试".to_owned(),
        DecisionKind::Resolved { stage, step, evidence } => {
            format!("对{} 负责：{evidence}", step_of(*stage, step))
        }
        DecisionKind::Closed { reason } => format!("关闭了本次部署：{reason}"),
    }
}
