/// The shares of versions, for comparing with what was [observed](crate::fake::FleetRouter::observed_weights). The names are
/// checked while compiling.
///
/// ```
/// let observed = flow_testkit::fake::FakeFleet::new().router_of("web").observed_weights();
/// assert_eq!(observed, flow_testkit::weights! {});
/// assert_ne!(observed, flow_testkit::weights! { "1.0.0" => 95, "1.1.0" => 5 });
/// ```
#[macro_export]
macro_rules! weights {
    ($($version:literal => $share:expr),* $(,)?) => {
        ::std::collections::BTreeMap::<$crate::__core::Name, u8>::from([
            $(($crate::__core::name!($version), $share)),*
        ])
    };
}
