//! The table of `--interfaces`: what each network interface received and sent.
//!
//! Pure. Invariant: the names are those that the owner of the network gave, and cannot steer a terminal.

use ampoule_examples::columns::columns;
use ampoule_examples::row::{Row, printable};

const HEAD: [&str; 11] = [
    "ID",
    "NAME",
    "INTERFACE",
    "RX BYTES",
    "RX PACKETS",
    "RX ERRORS",
    "RX DROPPED",
    "TX BYTES",
    "TX PACKETS",
    "TX ERRORS",
    "TX DROPPED",
];

/// A line for each interface, with a head. Counted from when the interface was made.
pub(crate) fn table(rows: &[Row<u32>]) -> String {
    let lines = rows.iter().flat_map(|row| {
        row.interfaces.iter().map(|(name, interface)| {
            let id = row.id.map_or_else(|| "--".to_owned(), |id| id.to_string());
            let [received, sent] = [interface.received, interface.sent].map(|way| {
                [way.bytes, way.packets, way.errors, way.dropped].map(|count| count.to_string())
            });
            let [rx_bytes, rx_packets, rx_errors, rx_dropped] = received;
            let [tx_bytes, tx_packets, tx_errors, tx_dropped] = sent;
            [
                id,
                printable(&row.name),
                printable(name),
                rx_bytes,
                rx_packets,
                rx_errors,
                rx_dropped,
                tx_bytes,
                tx_packets,
                tx_errors,
                tx_dropped,
            ]
        })
    });
    columns(&std::iter::once(HEAD.map(str::to_owned)).chain(lines).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ampoule::Interfaces;

    #[test]
    fn every_interface_has_a_line() {
        let interfaces = Interfaces::parse(
            b"lo: 9 1 0 0 0 0 0 0 9 1 0 0 0 0 0 0\neth\x1b: 10 2 3 4 0 0 0 0 50 6 7 8 0 0 0 0\n",
        );
        let row = Row { id: Some(7), name: "web-1".to_owned(), interfaces, ..Row::default() };
        let text = table(&[row, Row::default()]);
        let lines: Vec<Vec<&str>> =
            text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines.len(), 3, "{text}");
        let expected = ["7", "web-1", "eth?", "10", "2", "3", "4", "50", "6", "7", "8"];
        assert!(lines.contains(&expected.to_vec()), "{text}");
        let expected = ["7", "web-1", "lo", "9", "1", "0", "0", "9", "1", "0", "0"];
        assert!(lines.contains(&expected.to_vec()), "{text}");
    }
}
