// Each field of the public API at its edges, as protobuf's text format.
#ifndef TRAMONTANE_TESTS_INTEGRATION_API_EDGES_H_
#define TRAMONTANE_TESTS_INTEGRATION_API_EDGES_H_

#include <string>
#include <vector>

namespace tramontane {

struct RefusedEdge {
  std::string text;
  std::vector<std::string> words;  // of the message: field, value, limit
};

struct FieldEdges {
  std::string field;  // "tramontane.v1.GenerateRequest.prompt"
  // The message that `text` is of, and what it is put into: a GenerateRequest, where it says
  // nothing of a prompt, has one of tokens; ChatMessage is given as the request that holds it.
  std::string method;  // "Generate"
  std::vector<std::string> works;
  std::vector<RefusedEdge> refused;
  bool takes_every_value = false;  // so that nothing is refused
};

// Of the bundled model: a vocabulary of 4096 and a context of 1024 tokens.
std::vector<FieldEdges> ApiEdges();

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_INTEGRATION_API_EDGES_H_
