"""check_tree.py ROOT RULE…: prints what breaks the rules; exit code 1 where anything does."""

import sys

import direction_rules
import kernel_rules
import tree_rules

RULES = {rule.__name__: rule for rule in (
    direction_rules.include_direction, direction_rules.link_direction, tree_rules.top_level,
    tree_rules.file_names, tree_rules.file_size, tree_rules.header_guards, tree_rules.unfinished,
    tree_rules.doc_links, kernel_rules.kernel_starts)}


def main(arguments):
    if len(arguments) < 2 or not set(arguments[1:]) <= set(RULES):
        print(f"usage: check_tree.py ROOT RULE…, of {', '.join(RULES)}", file=sys.stderr)
        return 2
    root, *names = arguments
    faults = [f"{name}: {fault}" for name in names for fault in RULES[name](root)]
    print("\n".join(faults) if faults else "nothing breaks " + ", ".join(names))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
