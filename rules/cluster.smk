# Which jobs share an allocation of a cluster. Elsewhere groups mean nothing, and a dry run is easier to read without.
ON_CLUSTER = workflow.global_resources["_nodes"].value is not None

# Asking a training job's checkpoints, and writing down what each said, which takes seconds. A job in a group is sent to a
# node, and those may have no network, so not where organisms are asked by API.
ASKING_GROUP = "asking" if ON_CLUSTER and not any(organism.api for organism in CONFIG.organisms.values()) else None
# An organism's judgments, where they are cheap (profiles/slurm says how many together). Not those that wait for a judge
# of the whole study: to see that no such group waits for itself takes Snakemake minutes.
JUDGING_GROUP = "judging-{organism}-{stage}" if ON_CLUSTER and not (API_JUDGES or DEAR_JUDGES) else None
