//! Has a new migration compiled in: `sqlx::migrate!` alone sees changes of those that it has seen.

fn main() {
    println!("cargo::rerun-if-changed=migrations");
}
