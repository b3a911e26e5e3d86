/* The floor: the same bytes to a child and back with nothing but read and write. Prints nanoseconds per round trip. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char MESSAGE[] = "\0\021hello\0Joe\0Dalton";
enum { SIZE = sizeof MESSAGE };

int main(int argc, char **argv)
{
    long rounds = argc > 1 ? atol(argv[1]) : 20000;
    char buffer[SIZE];
    struct timespec from, to;
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0)
        return 1;
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        while (read(ends[1], buffer, SIZE) == SIZE)
            if (write(ends[1], buffer, SIZE) != SIZE)
                return 1;
        return 0;
    }
    close(ends[1]);
    for (long i = -rounds / 10; i < rounds; i++) {
        if (i == 0)
            clock_gettime(CLOCK_MONOTONIC, &from);
        if (write(ends[0], MESSAGE, SIZE) != SIZE || read(ends[0], buffer, SIZE) != SIZE)
            return 1;
    }
    clock_gettime(CLOCK_MONOTONIC, &to);
    printf("%ld\n", ((to.tv_sec - from.tv_sec) * 1000000000L + to.tv_nsec - from.tv_nsec) / rounds);
    close(ends[0]);
    return waitpid(child, NULL, 0) == child ? 0 : 1;
}
