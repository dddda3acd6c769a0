//! `shadowprod`: which AI pilots run in production although nobody promoted them.
//!
//! Modules are declared in the order in which data flows. Read [`pipeline`] first: its `step` names the
//! stages. A room stands above all that it uses: `cli` → `daemon` → `pipeline`, `serve`, `notify` →
//! `detect`, `explain`, `store` → `decode`, `enrich`, `rollup` → `ingest`, `query`, `registry` → `schema`, `findings`,
//! `losses`, `config`, `crash_points`, `folder`, `limits`, `metrics`, `sketch`. No import runs back up.

pub mod limits;
pub mod crash_points;
pub mod config;
pub mod schema;
pub mod metrics;
pub mod folder;
pub mod ingest;
pub mod losses;
pub mod decode;
pub mod registry;
pub mod enrich;
pub mod sketch;
pub mod query;
pub mod rollup;
pub mod detect;
pub mod explain;
pub mod findings;
pub mod store;
pub mod pipeline;
pub mod serve;
pub mod notify;
pub mod daemon;

pub mod cli;
