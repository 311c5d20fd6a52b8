"""Evaluates NetworkPolicies as their specification says: who may open a connection to whom."""

import render


def _peer_matches(peer, pod, policy_namespace):
    if "ipBlock" in peer:
        return False  # of addresses outside; no pod of this table has one
    namespaces = peer.get("namespaceSelector")
    if namespaces is None:
        if pod["namespace"] != policy_namespace:
            return False
    elif not render.selects(namespaces, {"kubernetes.io/metadata.name": pod["namespace"]}):
        return False
    return render.selects(peer.get("podSelector", {}), pod["labels"])


def _rule_admits(rule, side, other, port, protocol, policy_namespace):
    peers, ports = rule.get(side), rule.get("ports")
    if peers and not any(_peer_matches(peer, other, policy_namespace) for peer in peers):
        return False
    return not ports or any(each["port"] == port and each.get("protocol", "TCP") == protocol
                            for each in ports)


def _direction_admits(policies, pod, direction, other, port, protocol):
    side = {"Ingress": "from", "Egress": "to"}[direction]
    mine = [policy for policy in policies
            if policy["metadata"]["namespace"] == pod["namespace"]
            and direction in policy["spec"]["policyTypes"]
            and render.selects(policy["spec"]["podSelector"], pod["labels"])]
    if not mine:
        return True
    return any(_rule_admits(rule, side, other, port, protocol, policy["metadata"]["namespace"])
               for policy in mine for rule in policy["spec"].get(direction.lower()) or [])


def admitted(policies, source, target, port, protocol="TCP"):
    """Whether `source` may connect to `target`; pods are {"namespace": …, "labels": …}."""
    return (_direction_admits(policies, source, "Egress", target, port, protocol)
            and _direction_admits(policies, target, "Ingress", source, port, protocol))
