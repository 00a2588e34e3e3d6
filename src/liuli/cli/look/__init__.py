"""`liuli look`: the views of `liuli.inside`, one file per drawing."""
