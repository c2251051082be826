"""Operations run as their kernels: what is run, how it is timed, and how it is shown to compute what is declared."""
