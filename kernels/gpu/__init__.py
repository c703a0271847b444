"""The Triton kernels. They run on a GPU, and in Triton's interpreter (``TRITON_INTERPRET=1``) on the CPU for tests.

House rules, all from measurements: loop bounds are constants or the loop is a ``while`` (runtime bounds of ``range``
break the interpreter of Triton 3.6 under numpy 2.4); a kernel never reads back what it stored (that needs a barrier,
which the interpreter cannot miss), so such pairs are two kernels; no atomics, so results repeat bit for bit.
"""
