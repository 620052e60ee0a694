// The command line: `mayfly COMMAND ...`. Exit codes: 0 done, 1 failed at run time, 2 bad input.
#pragma once

namespace mayfly {

int cli_main(int argc, const char* const* argv);

}  // namespace mayfly
