//! The page the bench writes: what was measured, how, and on what.

use std::{fs, io, path::Path, process::Command};

/// Rows in the order they were measured.
pub struct Page {
    rows: Vec<[String; 4]>,
}

impl Page {
    pub fn new() -> Self {
        Self { rows: Vec::new() }
    }

    /// `figure` comes with its unit; `budget` is the one of design §6, or empty.
    pub fn row(&mut self, what: &str, figure: impl ToString, budget: &str, how: &str) {
        let row = [what.to_owned(), figure.to_string(), budget.to_owned(), how.to_owned()];
        println!("{:<58} {:<34} {}", row[0], row[1], row[2]);
        self.rows.push(row);
    }

    pub fn write(&self, path: &Path) -> io::Result<()> {
        let mut text = String::from("# Figures\n\nWritten by `cargo xtask bench`; do not edit. ");
        text += &format!("Machine: {}. Commit: {}.\n\n", machine(), commit());
        text += "| what | median (min–max) | budget | how |\n|---|---|---|---|\n";
        for row in &self.rows {
            text += &format!("| {} |\n", row.join(" | "));
        }
        // Rows that this run did not measure stay, with what they were measured by.
        for line in fs::read_to_string(path).unwrap_or_default().lines().filter(|line| line.starts_with("| ")) {
            let what = line.trim_start_matches("| ").split(" | ").next().unwrap_or_default();
            if what != "what" && !self.rows.iter().any(|row| row[0] == what) {
                text += &format!("{line}\n");
            }
        }
        fs::write(path, text)
    }
}

fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name\t: ")).unwrap_or("unknown processor");
    let count = cpu.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{count} × {model}, Linux {}", kernel.trim())
}

fn commit() -> String {
    let output = Command::new("git").args(["describe", "--always", "--dirty"]).output();
    output.map_or_else(|_| "unknown".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
