// The least a process can be: static, nothing but libc. Says that it runs, then sleeps for ever.
// process_cost starts it by fork() and exec() to compare with a forked NF instance.
#include <unistd.h>

int main() {
  if (write(3, "", 1) != 1) return 1;
  for (;;) pause();
}
