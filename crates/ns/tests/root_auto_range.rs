//! Reservations of id ranges against the real machine. Needs root and the initial user namespace.

use std::collections::BTreeSet;

use ampoule_ns::auto_range::Reservation;
use ampoule_ns::id_map::IdKind;

#[test]
fn reservations_of_many_threads_differ() {
    let acquire = || (0..4).map(|_| Reservation::acquire().unwrap()).collect::<Vec<_>>();
    let all: Vec<Reservation> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(acquire)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let firsts: BTreeSet<u32> = all.iter().map(Reservation::first).collect();
    assert_eq!(firsts.len(), 32);
    for reservation in &all {
        let map = reservation.id_map();
        map.validate().unwrap();
        assert_eq!(map.to_host(IdKind::Uid, 65_535), Some(reservation.first() + 65_535));
    }
}
