//! The standard's own names of its eight stages and 36 activities. Every match is exhaustive: a new activity without its
//! name does not compile.

use crate::stage::{
    Activity, ActivityName, AssetsActivity, BuildActivity, FunctionsActivity, MigrateActivity,
    MonitoringActivity, PrepareActivity, ServicesActivity, StageName, VerifyActivity,
};

pub(super) const fn stage(stage: StageName) -> &'static str {
    match stage {
        StageName::Prepare => "部署需求分析和环境准备",
        StageName::Build => "代码构建和打包准备",
        StageName::Migrate => "数据库变更和迁移执行",
        StageName::Assets => "前端静态资源部署",
        StageName::Services => "后端服务部署",
        StageName::Functions => "云函数和配置更新",
        StageName::Monitoring => "监控和日志配置",
        StageName::Verify => "部署验证和文档更新",
    }
}

/// The name of an activity; one that the standard does not have keeps its own.
pub(super) fn activity(name: &ActivityName) -> String {
    let known = match name.stage {
        StageName::Prepare => find(name, prepare),
        StageName::Build => find(name, build),
        StageName::Migrate => find(name, migrate),
        StageName::Assets => find(name, assets),
        StageName::Services => find(name, services),
        StageName::Functions => find(name, functions),
        StageName::Monitoring => find(name, monitoring),
        StageName::Verify => find(name, verify),
    };
    known.unwrap_or(&name.activity).to_owned()
}

fn find<A: Activity>(name: &ActivityName, word: fn(A) -> &'static str) -> Option<&'static str> {
    A::ALL.iter().find(|activity| activity.name() == *name).map(|activity| word(*activity))
}

const fn prepare(activity: PrepareActivity) -> &'static str {
    match activity {
        PrepareActivity::Scope => "部署范围确认",
        PrepareActivity::EnvironmentState => "环境状态检查",
        PrepareActivity::DependencyOrder => "依赖关系分析",
        PrepareActivity::RollbackPlan => "回滚方案准备",
    }
}

const fn build(activity: BuildActivity) -> &'static str {
    match activity {
        BuildActivity::CodeVersion => "代码版本验证",
        BuildActivity::BuildScripts => "构建脚本执行",
        BuildActivity::Configuration => "配置文件准备",
        BuildActivity::Image => "镜像构建（如需要）",
    }
}

const fn migrate(activity: MigrateActivity) -> &'static str {
    match activity {
        MigrateActivity::Scripts => "迁移脚本准备",
        MigrateActivity::Backup => "迁移前备份",
        MigrateActivity::Apply => "迁移执行验证",
        MigrateActivity::Impact => "性能影响评估",
    }
}

const fn assets(activity: AssetsActivity) -> &'static str {
    match activity {
        AssetsActivity::Upload => "静态资源上传",
        AssetsActivity::CachePurge => "CDN缓存刷新",
        AssetsActivity::Domain => "域名配置检查",
        AssetsActivity::Reachability => "静态资源验证",
    }
}

const fn services(activity: ServicesActivity) -> &'static str {
    match activity {
        ServicesActivity::Stop => "服务进程停止",
        ServicesActivity::Update => "代码包更新",
        ServicesActivity::InstallDependencies => "依赖包安装",
        ServicesActivity::Start => "服务进程启动",
        ServicesActivity::Health => "健康检查验证",
    }
}

const fn functions(activity: FunctionsActivity) -> &'static str {
    match activity {
        FunctionsActivity::Code => "SCF函数更新",
        FunctionsActivity::Triggers => "触发器配置",
        FunctionsActivity::FunctionVariables => "环境变量更新",
        FunctionsActivity::Publish => "函数版本发布",
        FunctionsActivity::Test => "函数测试验证",
    }
}

const fn monitoring(activity: MonitoringActivity) -> &'static str {
    match activity {
        MonitoringActivity::Alerts => "监控指标配置",
        MonitoringActivity::Logs => "日志收集配置",
        MonitoringActivity::Apm => "性能监控设置",
        MonitoringActivity::NotificationTest => "告警通知测试",
        MonitoringActivity::Dashboards => "仪表板更新",
    }
}

const fn verify(activity: VerifyActivity) -> &'static str {
    match activity {
        VerifyActivity::Functional => "功能验证测试",
        VerifyActivity::Performance => "性能基准测试",
        VerifyActivity::UserJourney => "用户体验验证",
        VerifyActivity::Documentation => "部署文档更新",
        VerifyActivity::Handover => "知识分享",
    }
}
