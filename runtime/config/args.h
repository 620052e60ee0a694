// NF arguments: checked against what the image declares, then compiled by the image itself, all
// entries of one image in one call, equal ones once.
#pragma once

#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "runtime/config/image.h"
#include "runtime/config/reader.h"

namespace mayfly {

inline constexpr size_t kArgFileBytesMax = 1u << 20;

// What describe_image() said, asked once per image and parse.
class ImageCatalog {
 public:
  // Null, with an error at `where`, if it is not an NF image.
  const ImageInfo* describe(const std::string& path, const Value& where);

 private:
  absl::flat_hash_map<std::string, ImageInfo> images_;
};

// Arguments with the line each was given on.
struct LocatedArgs {
  std::vector<ArgValue> args;
  std::vector<uint32_t> lines;
  std::vector<const Source*> sources;
};

// The arguments of an `nfs:` entry: `given` (may be absent) over the image's fallbacks.
LocatedArgs read_args(const ImageInfo& image, const Value& given);
// The arguments of a tenant: `given` over `base`, which is complete.
LocatedArgs merge_args(const ImageInfo& image, const Value& given, LocatedArgs base);

class CompileBatch {
 public:
  // Returns the request's number. `where` and `label` name it in errors.
  size_t add(const std::string& image_path, LocatedArgs args, const Value& where);
  // Compiles everything. On failure the first error stands at its argument's line.
  void run();
  // After a successful run().
  const std::vector<uint8_t>& blob(size_t request) const;

 private:
  struct Request {
    std::string image_path;
    size_t entry;
    LocatedArgs args;
    Value where;
  };
  struct Job {  // one image
    std::vector<std::vector<ArgValue>> entries;
    std::vector<size_t> first_request;  // of each entry
    absl::flat_hash_map<std::string, size_t> entry_of;
    std::vector<std::vector<uint8_t>> blobs;
  };
  void report(const Request& request, const ArgError& error) const;

  std::vector<Request> requests_;
  absl::flat_hash_map<std::string, Job> jobs_;
  std::vector<std::string> job_order_;
};

}  // namespace mayfly
