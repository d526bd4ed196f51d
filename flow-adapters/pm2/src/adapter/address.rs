use std::collections::BTreeSet;
use std::path::Path;

use flow_core::port::LaunchSpec;
use flow_core::{Digest, ErrorKind, Problems, StepError};

use super::outside::Place;
use super::processes::Pm2Processes;
use super::record::{Record, VARIABLE, app_name};
use crate::config::{Addresses, Mode, SOCKET_PATH_MAX};
use crate::file;

impl Pm2Processes {
    /// An address that nobody has. The caller holds the lock on addresses until PM2's list has it.
    pub(super) async fn choose_address(&self, spec: &LaunchSpec) -> Result<String, StepError> {
        match &self.config.mode {
            Mode::Colours { addresses: Addresses::Sockets { directory } } => {
                self.free_socket(directory, spec).await
            }
            Mode::Colours { addresses: Addresses::Ports { first, last } } => {
                self.free_port(*first, *last, spec).await
            }
            Mode::Cluster { port } => Ok(format!("127.0.0.1:{port}")),
        }
    }

    async fn free_socket(&self, directory: &Path, spec: &LaunchSpec) -> Result<String, StepError> {
        let path = directory.join(spec.service.as_str()).join(format!("{}.sock", spec.instance));
        let mut problems = Problems::default();
        if path.as_os_str().len() > SOCKET_PATH_MAX {
            let length = path.as_os_str().len();
            problems.add(
                "instance",
                format!("makes a socket path of {length} bytes, more than {SOCKET_PATH_MAX}"),
            );
        }
        problems.into_result()?;
        let address = format!("unix:{}", path.display());
        if self.outside.is_listening(&address).await? {
            return Err(StepError::new(ErrorKind::Conflict, "somebody listens at the instance's address")
                .fact("address", address));
        }
        if self.place == Place::Here {
            // The router's workers must get through.
            file::make_directory(path.parent().unwrap_or(directory), 0o755)?;
            // A killed process leaves its socket, and the next one could not listen there.
            if file::is_socket(&path) {
                file::remove(&path)?;
            }
        }
        Ok(address)
    }

    /// A port at which nobody listens and that no other instance was given. Where the search begins depends on the instance, which gets
    /// its old port again where that is free, and on the home: two of them that launch the same at the same time choose apart.
    async fn free_port(&self, first: u16, last: u16, spec: &LaunchSpec) -> Result<String, StepError> {
        let apps = self.home.apps().await?;
        let records = apps.iter().filter_map(|app| Record::read(app.variable(VARIABLE)?, &self.config.home));
        let given: BTreeSet<String> = records.map(|record| record.address).collect();
        let listening = self.outside.listening_ports().await?;
        let home = self.config.home.display();
        let digest = Digest::of(format!("{home}\0{}", app_name(&spec.service, &spec.instance)).as_bytes());
        let [a, b, ..] = *digest.as_bytes();
        let count = u32::from(last.saturating_sub(first)) + 1;
        let ports =
            (0..count).map(|step| u32::from(first) + (u32::from(u16::from_be_bytes([a, b])) + step) % count);
        let mut ports = ports.filter_map(|port| u16::try_from(port).ok());
        ports
            .find(|port| !listening.contains(port) && !given.contains(&format!("127.0.0.1:{port}")))
            .map(|port| format!("127.0.0.1:{port}"))
            .ok_or_else(|| {
                StepError::new(ErrorKind::Conflict, "every port of the range is taken")
                    .fact("first", first)
                    .fact("last", last)
            })
    }
}
