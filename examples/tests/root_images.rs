//! The example `image` on images of other tools, and other tools on what it hands on.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod images;

use std::fs;

use images::{Place, Registry, TREE};

#[test]
fn an_image_of_others_is_taken_over_and_handed_on() {
    let place = Place::new();
    place.layout();
    let registry = Registry::start(&place);
    let at = &registry.address;
    let said = place.fails(0, "image load --store S oci:L:x app:1");
    assert!(said.contains("layer 1/2") && said.contains("layer 2/2"), "{said}");
    place.run(&format!("image push --store S app:1 {at}/team/app:1"));
    place.run(&format!("image pull --store S2 {at}/team/app:1"));
    let copy = format!("skopeo copy -q --src-tls-verify=false docker://{at}/team/app:1 oci:P:1");
    place.run(&copy);
    // umoci on what skopeo read from the registry, we on what we read from it.
    place.run("umoci unpack --image P:1 U");
    place.run(&format!("image unpack --store S2 {at}/team/app:1 R"));
    let trees = place.run(&format!("{TREE} tree U/rootfs > u; tree R > r; diff u r; cat r"));
    assert!(trees.contains("opaque/upper") && !trees.contains("opaque/lower"), "{trees}");
    assert!(trees.contains("dir/hard f 4711 5:6") && trees.contains("null c"), "{trees}");
    assert_eq!([place.note("U/rootfs/dir/hard"), place.note("R/dir/hard")], ["kept", "kept"]);
}

#[test]
fn what_is_saved_is_read_by_others() {
    let place = Place::new();
    place.layout();
    place.run("image load --store S oci:L:x localhost/app:1");
    for to in ["oci:O:1", "oci-archive:o.tar", "docker-archive:d.tar", "dir:D", "tar:t.tar"] {
        place.run(&format!("image save --store S localhost/app:1 {to}"));
    }
    let layers = place.run("skopeo inspect --format '{{.Layers}}' oci:L:x");
    for from in ["oci:O:1", "oci-archive:o.tar"] {
        let found = place.run(&format!("skopeo inspect --format '{{{{.Layers}}}}' {from}"));
        assert_eq!(found, layers, "{from}");
    }
    place.run("skopeo copy -q docker-archive:d.tar oci:O2:1; umoci unpack --image O2:1 U");
    place.run("mkdir T; tar --xattrs -xpf t.tar -C T; umoci unpack --image O:1 V");
    place.run(&format!(
        "{TREE} for one in U/rootfs V/rootfs D T; do tree $one > now; test ! -e was || diff was now; mv now was; done"
    ));
    // Compressed otherwise, and by their own names.
    place.run("skopeo copy -q --dest-compress-format zstd --dest-compress oci:L:x oci:Z:1");
    let said = place.run("image load --store Z0 Z localhost/z:1; image load --store Z0 d.tar");
    assert!(said.contains("localhost/z:1") && said.contains("localhost/app:1"), "{said}");
    place.run(&format!("image unpack --store Z0 localhost/z:1 ZR; {TREE} tree ZR | diff was -"));
}

#[test]
fn podman_runs_what_is_saved() {
    let place = Place::new();
    place.layout();
    place.run("image load --store S oci:L:x localhost/app:1");
    place.run("image save --store S localhost/app:1 docker-archive:d.tar");
    place.run("image save --store S localhost/app:1 oci-archive:o.tar");
    // Groups of its own, removed again; limits that root without CAP_SYS_RESOURCE may set.
    let parent = format!("ampoule-examples-{}", std::process::id());
    let podman = "podman --root $PWD/storage --runroot $PWD/run --tmpdir $PWD/tmp --storage-driver vfs \
         --cgroup-manager cgroupfs --runtime runc";
    let limits = "--ulimit nofile=1024:1024 --ulimit nproc=1000:1000 --network none";
    for archive in ["d.tar", "o.tar"] {
        let said = place.run(&format!(
            "trap 'find /sys/fs/cgroup -depth -type d -path \"*/{parent}*\" -exec rmdir {{}} \\;' EXIT
             {podman} load -q -i {archive} > /dev/null
             {podman} run --rm {limits} --cgroup-parent /{parent} localhost/app:1
             {podman} run --rm {limits} --cgroup-parent /{parent} localhost/app:1 sh -c 'stat -c \"%n %a %u:%g %s\" /dir/* /opaque/*; id; echo $A $PATH $HOME'
             {podman} rmi -f -a > /dev/null"
        ));
        let ours = place.run(
            "sandbox --store S --image localhost/app:1
             sandbox --store S --image localhost/app:1 -- sh -c 'stat -c \"%n %a %u:%g %s\" /dir/* /opaque/*; id; echo $A $PATH $HOME'",
        );
        assert_eq!(said, ours, "{archive}");
        assert!(ours.starts_with("upper\n"), "{ours}");
    }
}

#[test]
fn a_mounted_image_is_read_from_outside() {
    let place = Place::new();
    place.layout();
    place.run("image load --store S oci:L:x app:1");
    let seen = place.run(
        "image mount --store S app:1 -- sh -c 'ls opaque; test ! -e file; cat dir/link || true'",
    );
    assert_eq!(seen, "upper\n");
    place.fails(1, "image mount --store S app:1 -- sh -c 'touch new'");
    // Until a signal comes; the tree is where it says.
    let seen = place.run(
        "mkdir M; image mount --store S --upper W --at M app:1 > said & pid=$!
         while ! grep -q ^at said; do sleep 0.05; done
         cat $(sed -n 's/^merged  //p' said)/opaque/upper
         echo new > M/new; rm M/opaque/upper; test -e W/new
         kill $pid; wait $pid; test ! -e M/opaque; cat said",
    );
    assert!(seen.starts_with("upper\n"), "{seen}");
    for word in ["lower ", "upper ", "work ", "merged "] {
        assert!(seen.contains(word), "{seen}");
    }
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(place.at("M").to_str().unwrap()), "it is gone from there");
    let changes = place.run("image diff --store S app:1 W");
    assert_eq!(changes, "A /new\nD /opaque/upper\n");
    let said = place.run("image commit --store S --cmd cat --cmd /new app:1 W app:2");
    assert!(said.starts_with("app:2 sha256:"), "{said}");
    assert_eq!(place.run("sandbox --store S --image app:2"), "new\n");
    let said = place.run("image diff --store S -o layer.tgz app:1 W; tar -tzf layer.tgz | sort");
    assert!(said.contains("opaque/.wh.upper") && said.contains("new"), "{said}");
}

#[test]
fn a_store_is_kept_clean() {
    let place = Place::new();
    place.layout();
    place.run("image load --store S oci:L:x app:1; image tag --store S app:1 other:2");
    let listed = place.run("image ls --store S --usage");
    for word in ["app:1", "other:2", "unpacked layers"] {
        assert!(listed.contains(word), "{word}: {listed}");
    }
    let said = place.run("image inspect --store S app:1");
    assert!(said.contains("[\"cat\", \"/opaque/upper\"]") && said.contains("A=b"), "{said}");
    assert!(place.run("image inspect --config --store S app:1").contains("\"diff_ids\""));
    assert!(place.run("image verify --store S").contains("wrong: 0\n"));
    let gone = "removed: 0 blobs (0 B), 0 unpacked layers\n";
    place.run("image rm --store S other:2");
    assert_eq!(place.run("image gc --store S"), gone);
    // A byte of the largest blob.
    place.run(
        "cp -a S D; blob=$(ls -S D/blobs/sha256/* | head -1); chmod u+w $blob
         printf x | dd of=$blob bs=1 seek=100 conv=notrunc status=none",
    );
    assert!(place.fails(1, "image verify --store D").contains("the digest is"));
    place.run("image rm --store S app:1");
    assert_ne!(place.run("image gc --store S --no-wait"), gone);
    assert_eq!(place.run("ls S/blobs/sha256 S/layers/sha256 | grep -c ... || true"), "2\n");
    let said = place.fails(1, "image rm --store S app:1");
    assert!(said.contains("there is no image"), "{said}");
}
