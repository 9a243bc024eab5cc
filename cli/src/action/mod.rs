//! What tasks do: run command lines ([`command`]) or compute ([`compute`]).

pub mod children;
pub mod command;
pub mod compute;
pub mod open_files;
