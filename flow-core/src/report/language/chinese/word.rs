use std::fmt::Display;

use crate::environment::Environment;
use crate::gate::{StandardGate, Verdict};
use crate::journal::End;
use crate::name::Name;
use crate::plan::OnFailure;
use crate::report::{GateVerdict, Status};
use crate::rollback::Reversibility;

pub(super) const fn status(status: Status) -> &'static str {
    match status {
        Status::NotApplicable => "不适用",
        Status::Done => "已完成",
        Status::NotReached => "未执行",
        Status::NotCovered => "未覆盖",
        Status::Undone => "已撤销",
        Status::Resolved => "已人工处理",
        Status::UnderWay => "进行中",
        Status::Standing => "尚未撤销",
        Status::InDoubt => "结果不明",
        Status::Failed => "失败",
    }
}

pub(super) const fn environment(environment: Environment) -> &'static str {
    match environment {
        Environment::Development => "开发环境",
        Environment::Testing => "测试环境",
        Environment::Staging => "预生产环境",
        Environment::Production => "生产环境",
    }
}

/// The standard's name of a strategy that comes with the library; a user's own strategy keeps its own.
pub(super) fn strategy(name: &Name) -> &str {
    match name.as_str() {
        "blue-green" => "蓝绿部署",
        "rolling" => "滚动更新",
        "canary" => "灰度发布",
        own => own,
    }
}

pub(super) const fn on_failure(on_failure: OnFailure) -> &'static str {
    match on_failure {
        OnFailure::RollBack => "执行回滚操作",
        OnFailure::Hold => "暂停并等待人工决定",
    }
}

pub(super) const fn end(end: Option<End>) -> &'static str {
    match end {
        None => "进行中",
        Some(End::Done) => "已完成",
        Some(End::Rejected) => "失败，未留下任何影响",
        Some(End::Cancelled) => "已取消",
        Some(End::InDoubt) => "结果不明",
    }
}

pub(super) fn reversibility(reversibility: &Reversibility) -> String {
    match reversibility {
        Reversibility::Reversible => "完全恢复".to_owned(),
        Reversibility::Compensate { how } => format!("补偿处理：{how}"),
        Reversibility::Irreversible { reason } => format!("不可回滚：{reason}"),
        Reversibility::NothingToUndo => "无需撤销".to_owned(),
    }
}

pub(super) const fn gate(gate: StandardGate) -> &'static str {
    match gate {
        StandardGate::Availability => "服务可用性",
        StandardGate::Downtime => "部署过程中停机时间",
        StandardGate::KeyFunction => "关键功能响应时间",
        StandardGate::ErrorRate => "错误率",
        StandardGate::PageLoad => "页面加载时间",
        StandardGate::ApiLatency => "API响应时间",
        StandardGate::DatabaseQuery => "数据库查询时间",
        StandardGate::ResourceUse => "系统资源使用率",
    }
}

pub(super) fn limit(gate: StandardGate) -> String {
    let side = if gate == StandardGate::Availability { "大于" } else { "小于" };
    format!("{side} {} {}", gate.limit(), gate.unit())
}

pub(super) const fn verdict(verdict: GateVerdict) -> &'static str {
    match verdict {
        GateVerdict::Kept => "达标",
        GateVerdict::Broken => "未达标",
        GateVerdict::NotMeasured => "未测量",
    }
}

/// What a gate said, as what follows its name in a sentence.
pub(super) const fn judged(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "通过",
        Verdict::Fail => "未通过",
        Verdict::Insufficient => "证据不足",
        Verdict::ProviderError => "无法读取证据",
    }
}

/// A length of time with the two units that matter.
pub(super) fn duration(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    match (seconds / 3600, seconds % 3600 / 60, seconds % 60) {
        (0, 0, 0) => format!("{milliseconds} 毫秒"),
        (0, 0, seconds) => format!("{seconds}.{} 秒", milliseconds % 1000 / 100),
        (0, minutes, seconds) => format!("{minutes} 分 {seconds} 秒"),
        (hours, minutes, _) => format!("{hours} 小时 {minutes} 分"),
    }
}

pub(super) fn times(count: u32) -> String {
    match count {
        1 => "一次".to_owned(),
        2 => "两次".to_owned(),
        count => format!(" {count} 次"),
    }
}

/// Names one after the other, each in backticks.
pub(super) fn list<T: Display>(names: &[T]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join("、")
}
