# Published numbers beside ours.
