"""Who is measured: ours, and peers as their registries ship them, each tuned as its own docs advise."""
