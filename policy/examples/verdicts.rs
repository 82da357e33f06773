//! Decides the same request again and again. `policy/benches/instructions` counts the instructions
//! of this program.

#[path = "../benches/setup/mod.rs"]
mod setup;

use setup::Scene;
use std::hint::black_box;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let scene = match arguments.next().as_deref() {
        Some("plain") => Some(Scene::plain()),
        Some("full") => Some(Scene::full()),
        _ => None,
    };
    let rounds = arguments
        .next()
        .and_then(|rounds| rounds.parse::<u32>().ok());
    let (Some(mut scene), Some(rounds)) = (scene, rounds) else {
        eprintln!("verdicts: usage: verdicts plain|full ROUNDS");
        return ExitCode::FAILURE;
    };
    for _ in 0..rounds {
        black_box(scene.decide());
    }
    ExitCode::SUCCESS
}
