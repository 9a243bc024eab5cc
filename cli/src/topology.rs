//! `pinfold topology`: what this machine has and what of it we may use, as plain text.

use std::fmt::{self, Write};

use pinfold_affinity::{Allowed, Node, Plan, Topology};

use crate::args::WORKERS_LIMIT;

/// How many workers a run gets that asks for no number.
pub fn default_workers(topology: &Topology, allowed: &Allowed) -> usize {
    Plan::default_workers(topology, allowed).min(WORKERS_LIMIT)
}

/// The text of `pinfold topology`.
pub fn describe(topology: &Topology, allowed: &Allowed) -> String {
    let mut text = String::new();
    write_all(&mut text, topology, allowed).expect("a String takes whatever is written");
    text
}

fn write_all(out: &mut String, topology: &Topology, allowed: &Allowed) -> fmt::Result {
    write_machine(out, topology)?;
    write_allowed(out, topology, allowed)?;
    let mut notes = topology.notes().iter().chain(allowed.notes()).peekable();
    if notes.peek().is_some() {
        writeln!(out, "warnings")?;
    }
    notes.try_for_each(|note| writeln!(out, "  {note}"))
}

fn write_machine(out: &mut String, topology: &Topology) -> fmt::Result {
    writeln!(out, "machine")?;
    writeln!(out, "  packages      {}", count(topology.packages().len()))?;
    writeln!(out, "  nodes         {}", topology.nodes().len())?;
    writeln!(out, "  L3 caches     {}", count(topology.l3_caches().len()))?;
    writeln!(out, "  cores         {}", topology.cores().len())?;
    writeln!(out, "  threads       {}", topology.cpus().len())?;
    if !topology.offline().is_empty() {
        writeln!(out, "  offline       cpus {}", topology.offline())?;
    }
    let sizes = topology.nodes().iter().map(|node| node.memory_bytes);
    let memory = sizes.sum::<Option<u64>>();
    writeln!(
        out,
        "  memory        {}",
        memory.map_or("unknown".to_owned(), size)
    )?;
    for node in topology.nodes() {
        write_node(out, topology, node)?;
    }
    Ok(())
}

fn write_node(out: &mut String, topology: &Topology, node: &Node) -> fmt::Result {
    let title = format!("node {}", node.id);
    let memory = node.memory_bytes.map_or("unknown".to_owned(), size);
    let cpus = match node.cpus.is_empty() {
        true => "no cpus".to_owned(),
        false => format!("cpus {}", node.cpus),
    };
    writeln!(out, "  {title:<13} {cpus}, memory {memory}")?;
    let caches = topology.l3_caches().iter();
    for cache in caches.filter(|cache| cache.is_subset(&node.cpus)) {
        writeln!(out, "    L3          cpus {cache}")?;
    }
    Ok(())
}

fn write_allowed(out: &mut String, topology: &Topology, allowed: &Allowed) -> fmt::Result {
    let cpus = allowed.cpus_on(topology);
    let quota = allowed.quota().map_or("none".to_owned(), |q| q.to_string());
    let nodes = allowed.memory_nodes().map_or("all".to_owned(), |nodes| {
        let nodes: Vec<String> = nodes.iter().map(u32::to_string).collect();
        nodes.join(",")
    });
    writeln!(out, "we may use (affinity mask and control group)")?;
    writeln!(
        out,
        "  cpus          {cpus} ({} of {})",
        cpus.len(),
        topology.cpus().len()
    )?;
    writeln!(out, "  quota         {quota}")?;
    writeln!(out, "  memory nodes  {nodes}")?;
    writeln!(
        out,
        "  workers       {} unless a run asks for others",
        default_workers(topology, allowed)
    )
}

/// A level without members is one that the machine does not tell.
fn count(members: usize) -> String {
    match members {
        0 => "unknown".to_owned(),
        _ => members.to_string(),
    }
}

fn size(bytes: u64) -> String {
    const GIB: u64 = 1 << 30;
    const MIB: u64 = 1 << 20;
    match bytes {
        GIB.. => format!("{:.1} GiB", bytes as f64 / GIB as f64),
        _ => format!("{:.1} MiB", bytes as f64 / MIB as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pinfold_affinity::{CpuSet, Quota};
    use std::num::NonZero;

    fn machine() -> (Topology, Allowed) {
        let topology = Topology::flat(NonZero::new(4).unwrap());
        (
            topology,
            Allowed::from_cpus(CpuSet::from_iter([1, 2, 3, 9])),
        )
    }

    #[test]
    fn the_description_of_a_machine_of_which_little_is_known() {
        let (topology, allowed) = machine();
        let expected = "\
machine
  packages      unknown
  nodes         1
  L3 caches     unknown
  cores         4
  threads       4
  memory        unknown
  node 0        cpus 0-3, memory unknown
we may use (affinity mask and control group)
  cpus          1-3 (3 of 4)
  quota         none
  memory nodes  all
  workers       3 unless a run asks for others
warnings
  only the number of CPUs is known: 4
  no NUMA node is known; taken as one node 0
";
        assert_eq!(describe(&topology, &allowed), expected);
    }

    #[test]
    fn a_quota_limits_the_default_workers() {
        let (topology, allowed) = machine();
        let with = |micros| allowed.clone().with_quota(Quota::new(micros, 100_000));
        assert_eq!(default_workers(&topology, &allowed), 3);
        assert_eq!(default_workers(&topology, &with(150_000)), 2);
        assert_eq!(default_workers(&topology, &with(900_000)), 3);
        assert_eq!(default_workers(&topology, &with(10)), 1);
    }
}
