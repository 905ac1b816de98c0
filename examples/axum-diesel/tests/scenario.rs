//! The example as its users start it: real processes, real servers, HTTP.

use rr_example::scenario::{self, Result};

const PROGRAM: &str = env!("CARGO_BIN_EXE_rr-axum-diesel");

#[tokio::test(flavor = "multi_thread")]
async fn every_route_on_one_instance() -> Result {
    scenario::routes::all(PROGRAM, 1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_on_two_instances_in_turn() -> Result {
    scenario::routes::all(PROGRAM, 2).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_instance_writes_the_other_shows_to_its_writer() -> Result {
    scenario::crossing::own_writes(PROGRAM).await
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_goes_back_in_time_between_instances_and_replicas() -> Result {
    scenario::crossing::monotonic(PROGRAM).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_laboratory_does_what_it_says_and_is_for_this_machine_only() -> Result {
    scenario::laboratory::works(PROGRAM).await
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_ends_with_the_launcher() -> Result {
    scenario::ending::with_the_launcher(PROGRAM).await
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_of_ones_own_are_used_where_they_are_named() -> Result {
    scenario::ending::on_foreign_servers(PROGRAM).await
}
