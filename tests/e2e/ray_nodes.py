"""A Ray cluster of a head and two nodes, one CPU each, on the loopback interface: a process of its own, since Ray reads
its environment once. Prints the address; then reads commands, and prints a line after each:

- ``kill``: a node's processes, at once
- ``add``: a node

Ends, with all nodes, when its input does.
"""

import sys

from ray.cluster_utils import Cluster

NODE = {"num_cpus": 1, "object_store_memory": 80 * 2**20}


def main() -> None:
    """See above."""
    answers = sys.stdout
    sys.stdout = sys.stderr  # what Ray prints is talk
    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    for _ in range(2):
        cluster.add_node(**NODE)
    print(cluster.address, file=answers, flush=True)
    for command in sys.stdin:
        if command == "kill\n":
            cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
        else:
            cluster.add_node(**NODE)
        print(command, end="", file=answers, flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    main()
