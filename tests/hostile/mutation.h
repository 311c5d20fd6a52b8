// What is valid, damaged: bytes and protobuf messages. The same random numbers, the same damage.
#ifndef TRAMONTANE_TESTS_HOSTILE_MUTATION_H_
#define TRAMONTANE_TESTS_HOSTILE_MUTATION_H_

#include <google/protobuf/message.h>

#include <cstddef>
#include <memory>
#include <random>
#include <string>

namespace tramontane {

using Random = std::mt19937_64;

// In [0, limit); 0 where `limit` is 0.
size_t Below(Random& random, size_t limit);
std::string RandomBytes(Random& random, size_t size);

// One to four changes: bits, extreme bytes, parts cut, repeated, inserted or moved.
std::string MutateBytes(std::string bytes, Random& random);

// An empty message of a type that this program has, for reflection: generated classes will not do
// where they are compiled for the thread sanitizer, since maps in them are not laid out as the
// distribution's protobuf expects.
std::unique_ptr<google::protobuf::Message> NewMessage(const google::protobuf::Descriptor& type);

// One to three fields, at any depth, get an extreme or random value, or more entries, or none. The
// result is a message that any client could send.
void MutateMessage(google::protobuf::Message* message, Random& random);

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_HOSTILE_MUTATION_H_
