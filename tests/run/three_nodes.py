"""A Ray cluster of three nodes on this machine, until standard input ends.

It prints a line of JSON: the address of its job server, and its nodes' identities and ports for
metrics by their names.
"""

import json
import logging
import os
import socket
import sys
import tempfile

MEMORY = 80 << 20
"""Of each node's object store: as little as Ray takes, so that a test can fill it."""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def main():
    with tempfile.TemporaryDirectory(prefix="hv-ray-") as folder:
        # What `auto` means to its jobs is written there, apart from other clusters of this machine.
        os.environ["RAY_TMPDIR"] = folder
        from ray.cluster_utils import Cluster

        logging.getLogger("ray").setLevel(logging.ERROR)
        head = {"include_dashboard": True, "dashboard_host": "127.0.0.1"}
        head |= {"dashboard_port": free_port(), "num_cpus": 0}
        cluster = Cluster(
            initialize_head=True, head_node_args=head | {"object_store_memory": MEMORY}
        )
        nodes, metrics = {"head": cluster.head_node.node_id}, {}
        for name in ("cpu_node", "gpu_node"):
            metrics[name] = free_port()
            made = cluster.add_node(
                num_cpus=2,
                resources={name: 1},
                object_store_memory=MEMORY,
                metrics_export_port=metrics[name],
            )
            nodes[name] = made.node_id
        told = {"address": f"http://{cluster.head_node.webui_url}", "nodes": nodes}
        told["metrics"] = metrics
        print(json.dumps(told), flush=True)
        sys.stdin.read()
        cluster.shutdown()


if __name__ == "__main__":
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ["RAY_metrics_report_interval_ms"] = "1000"  # noqa: SIM112 - Ray spells it so
    main()
