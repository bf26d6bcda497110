#!/bin/bash
# Entry point of the training stand-in. Like the stock one it evaluates its words again, so quoting is lost on the way:
# what is run through it has to survive that, or name its own entry point.
if [ "$1" = "train" ]; then
    exec train
fi
eval "$@"
