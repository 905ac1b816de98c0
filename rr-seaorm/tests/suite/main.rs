//! SeaORM over several servers: real ones.

mod cancellation;
mod cascades;
mod conflicts;
mod consistency;
mod constructed;
mod discovery;
mod explaining;
#[cfg(feature = "axum")]
mod extract;
mod failovers;
mod failures;
mod giving_back;
mod hints;
mod hung;
mod lent;
mod levels;
mod limits;
mod lists;
mod load;
mod midway;
mod operations;
mod outages;
mod overload;
mod pace;
mod partly;
mod pools;
mod promotions;
mod readers;
mod related;
mod savepoints;
mod sessions;
mod settings;
mod streams;
mod support;
mod tls;
mod transactions;
