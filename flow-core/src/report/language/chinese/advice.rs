use super::sentence::{cause, step_of};
use super::word::list;
use super::{standard, word};
use crate::error::ErrorKind;
use crate::gate::{StandardGate, Verdict};
use crate::journal::Standing;
use crate::name::Name;
use crate::report::{Check, Declared, Direction, Document, Emergency, EmergencyState, Suggestion};
use crate::stage::StageName;

pub(super) const fn emergency(step: Emergency) -> &'static str {
    match step {
        Emergency::Stop => "立即停止部署流程",
        Emergency::RollBack => "执行回滚操作",
        Emergency::RootCause => "分析失败原因（证据见本报告和执行日志）",
        Emergency::Redeploy => "修复问题后重新部署",
        Emergency::Lessons => "总结经验教训（相关事实见下文）",
    }
}

pub(super) const fn emergency_state(state: EmergencyState) -> &'static str {
    match state {
        EmergencyState::Done => "已完成",
        EmergencyState::Partly => "部分完成",
        EmergencyState::Open => "待处理",
        EmergencyState::NotNeeded => "无需执行",
    }
}

pub(super) fn check(check: &Check) -> String {
    match check {
        Check::CauseGone { kind } => cause_gone(*kind).to_owned(),
        Check::InDoubt { call } => {
            format!("`{call}` 的结果不明：请从外部检查它是否留下了撤销操作没有覆盖的内容。")
        }
        Check::Standing { standing } => format!(
            "{} 尚未撤销（{}）：请先恢复正常并登记处理结果。",
            step_of(standing.stage, &standing.step),
            standing.reason
        ),
        Check::NeverReached { stages } => {
            format!("以下阶段没有完成，本次部署不能说明它们是否正常：{}。", quoted(stages))
        }
        Check::PlanAgain { plan } => {
            format!("请重新制定计划：审批与计划哈希绑定（本次为 `{plan}`），新的计划需要重新审批。")
        }
    }
}

fn quoted(stages: &[StageName]) -> String {
    stages.iter().map(|stage| format!("「{}」", standard::stage(*stage))).collect::<Vec<_>>().join("、")
}

const fn cause_gone(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Invalid => "输入有误：请更正，否则会再次失败。",
        ErrorKind::NotFound => "缺少所需的内容：下次部署前请确认它存在。",
        ErrorKind::Denied => "权限不足：请授予权限，并在环境准备阶段进行检查。",
        ErrorKind::Conflict => "实际环境与计划不符：重新制定计划之前，请查明是谁做了改动。",
        ErrorKind::Failed => "检查未通过：请在较低的环境中重现并修复，并在该环境中验证新的发布版本。",
        ErrorKind::Unavailable => "对方服务无法访问：请确认它正在运行，并且可以从本机访问。",
        ErrorKind::Throttled => "对方服务要求限流：请申请更高的配额，或在业务低峰期部署。",
        ErrorKind::TimedOut => "没有及时得到响应：请先查明耗时的原因，再考虑放宽时限。",
        ErrorKind::Cancelled => "部署是被主动停止的：请确认停止的原因已经消除。",
        ErrorKind::Unknown => "原因尚不确定：请先根据上面的原因链查明，再重新部署。",
    }
}

pub(super) fn suggestion(suggestion: &Suggestion) -> String {
    match suggestion {
        Suggestion::CarryOn { direction } => carry_on(*direction).to_owned(),
        Suggestion::Decide => "部署已暂停：请决定执行回滚操作，还是在重试有效时继续部署。".to_owned(),
        Suggestion::Settle { standing } => settle(standing),
        Suggestion::KeptWarm { step, instances, .. } => {
            format!("`{step}` 的旧实例仍在运行：{}。", list(instances))
        }
        Suggestion::WayBackClosed { steps } => {
            format!("{} 的旧实例已停止：如需退回旧版本，必须重新部署旧版本。", list(steps))
        }
        Suggestion::Irreversible { step, reason } => format!("`{step}` 已完成，并且不可回滚：{reason}。"),
        Suggestion::Backup { step, path, digest } => format!(
            "`{step}` 在 `{}` 留下了备份（`{digest}`）：在确定不再需要退回之前，请予以保留。",
            path.display()
        ),
        Suggestion::GateBroken { gate, values } => broken(*gate, values),
        Suggestion::MeasureGates { gates } => {
            let names: Vec<&str> = gates.iter().map(|gate| word::gate(*gate)).collect();
            format!("部署质量标准中的以下指标没有测量，请分别增加检查：{}。", names.join("、"))
        }
        Suggestion::Retries { call, attempts, cause: why } => {
            format!("`{call}` 共尝试 {attempts} 次；请在情况恶化之前查明原因：{}。", cause(why))
        }
        Suggestion::OwnersLost { times, longest_ms } => format!(
            "执行者失联{}，最长有 {}无人执行：请检查执行者所在的机器。",
            word::times(*times),
            word::duration(*longest_ms)
        ),
        Suggestion::SilentGate { step, verdict, times, .. } => silent(step, *verdict, *times),
        Suggestion::Revisit { declared } => revisit(declared),
        Suggestion::Documents { paths } => {
            let paths: Vec<_> = paths.iter().map(|path| path.display()).collect();
            format!("部署文档位于 {}。", list(&paths))
        }
        Suggestion::Investigate { seq } => {
            format!("第 {seq} 条记录与之前的记录不连贯：请查明是什么写入了它。")
        }
    }
}

const fn carry_on(direction: Direction) -> &'static str {
    match direction {
        Direction::Forward => "部署尚未结束：如果已经没有执行者，请按运行编号恢复部署。",
        Direction::Back => "回滚尚未结束：如果已经没有执行者，请按运行编号恢复回滚。",
    }
}

fn settle(standing: &Standing) -> String {
    format!(
        "{} 尚未撤销（{}）：请先恢复正常，然后恢复执行、附上证据登记为已处理，或者关闭本次部署。",
        step_of(standing.stage, &standing.step),
        standing.reason
    )
}

fn silent(step: &Name, verdict: Verdict, times: u32) -> String {
    let times = word::times(times);
    match verdict {
        Verdict::ProviderError => {
            format!("`{step}` 的质量门禁有{times}无法读取证据：请检查其数据来源。")
        }
        Verdict::Insufficient | Verdict::Pass | Verdict::Fail => {
            format!("`{step}` 的质量门禁有{times}证据不足：请增加流量或延长观察时间。")
        }
    }
}

fn broken(gate: StandardGate, values: &[Option<f64>]) -> String {
    let value = |value: &Option<f64>| match value {
        Some(value) => format!("{value} {}", gate.unit()),
        None => "没有数值".to_owned(),
    };
    let values: Vec<String> = values.iter().map(value).collect();
    format!("{}未达标：实测 {}，标准为{}。", word::gate(gate), values.join("、"), word::limit(gate))
}

fn revisit(declared: &Declared) -> String {
    let stage = standard::stage(declared.stage);
    let what = match &declared.activity {
        Some(activity) => format!("「{stage}」阶段的「{}」", standard::activity(activity)),
        None => format!("「{stage}」阶段"),
    };
    format!("{what}本次声明为不适用：下次发布前，请确认这一点是否仍然成立。")
}

pub(super) fn verify(document: &Document) -> Vec<String> {
    if document.audit.records == 0 {
        return vec!["没有可供核对的记录。".to_owned()];
    }
    vec![
        "每条记录的哈希是依次对以下内容计算的 SHA-256：前一条记录的哈希（第一条之前为 32 个零字节）、8 \
         字节大端序的记录编号、按存储原样的记录文本；最后一条记录的哈希就是日志链头。"
            .to_owned(),
        "核对本报告时，请加载本次部署的执行日志并用 `flow_core::journal::read` \
         读取，被修改、移动或遗漏的记录会被拒绝；然后将记录数和日志链头与上文比对，再用 `Report::of` \
         重新生成报告，结果必须完全相同。证据、原因等引自执行日志的文字，均按记录的原文显示。"
            .to_owned(),
    ]
}
