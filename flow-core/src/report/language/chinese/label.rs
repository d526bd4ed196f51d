use super::{Column, Fact, Heading, Note};

pub(super) const fn heading(heading: Heading) -> &'static str {
    match heading {
        Heading::Overview => "标准工作流程执行结果",
        Heading::Anomalies => "异常情况及处理过程和结果",
        Heading::Gates => "部署质量标准",
        Heading::Rollback => "回滚操作",
        Heading::Lessons => "经验教训",
        Heading::Response => "应急响应流程：部署失败响应",
        Heading::Checks => "重新部署前的检查",
        Heading::People => "审批与声明",
        Heading::Declarations => "声明为不适用的内容",
        Heading::Decisions => "人工决定",
        Heading::Notices => "备注",
        Heading::Maintenance => "部署后维护建议",
        Heading::Audit => "审计追踪",
    }
}

pub(super) const fn column(column: Column) -> &'static str {
    match column {
        Column::Activity => "活动",
        Column::At => "时间",
        Column::Attempts => "尝试次数",
        Column::Began => "开始时间",
        Column::By => "人员",
        Column::Ended => "结束时间",
        Column::Evidence => "证据",
        Column::Fact => "项目",
        Column::Gate => "指标",
        Column::Handled => "处理过程和结果",
        Column::How => "测量方式",
        Column::Limit => "标准",
        Column::Move => "动作",
        Column::Number => "序号",
        Column::Reason => "理由",
        Column::Stage => "阶段",
        Column::State | Column::Status => "状态",
        Column::Step => "步骤",
        Column::Steps => "执行步骤",
        Column::Took => "耗时",
        Column::Undo => "回滚方式",
        Column::Value => "值",
        Column::What => "内容",
    }
}

pub(super) const fn fact(fact: Fact) -> &'static str {
    match fact {
        Fact::Application => "应用",
        Fact::Approvals => "审批人",
        Fact::Artifacts => "制品",
        Fact::Cause => "原因",
        Fact::Chain => "深层原因",
        Fact::Duration => "总耗时",
        Fact::Ended => "结束时间",
        Fact::Environment => "部署环境",
        Fact::Fingerprint => "定义指纹",
        Fact::Head => "日志链头",
        Fact::Initiator => "发起人",
        Fact::Irreversible => "不可回滚的步骤",
        Fact::KeepWarm => "旧实例保留时长",
        Fact::LastRecord => "最后一条记录",
        Fact::OnFailure => "失败时的处理",
        Fact::Owners => "执行者",
        Fact::PlanHash => "计划哈希",
        Fact::Records => "记录数",
        Fact::Release => "发布版本",
        Fact::Started => "开始时间",
    }
}

pub(super) const fn note(note: Note) -> &'static str {
    match note {
        Note::NoAnomalies => "没有异常记录。",
        Note::NoDeclarations => "没有声明为不适用的内容。",
        Note::NoDecisions => "没有人工决定的记录。",
        Note::NoEvidence => "无证据",
        Note::NoRollback => "没有执行回滚操作。",
        Note::NoSteps => "本阶段没有执行步骤。",
        Note::NoSuggestions => "目前没有维护建议。",
        Note::NoneGiven => "无",
        Note::NothingFailed => "没有失败记录。",
        Note::NothingToUndo => "没有需要撤销的内容。",
        Note::NotHandled => "尚未处理",
        Note::Standing => "尚未撤销的内容：",
    }
}
