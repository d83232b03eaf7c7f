"""One file per thing that a user can ask for; the only joint of training and results."""

from normscope.cores import affinity

affinity()  # kept from now on: the files of this package import torch, which may narrow it
