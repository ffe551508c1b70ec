// Fuzz target: any bytes as events.jsonl; the reader of files and the parser of pipes see the same, whatever the chunks, and what
// was read is written as it was.
#include "core/jobs/event_reader.h"
#include "tests/fuzz/fuzz.h"

using namespace postnas;

std::vector<std::string> fuzzSeeds()
{
    const char* const head = R"({"v":1,"seq":1,"t":"2026-01-01T00:00:00.000Z","event":)";
    std::string all;
    std::vector<std::string> out;
    for (const char* rest :
         {R"("hello","versions":{"postnas":"0.1.0"},"device":"cpu","pid":42,"stage":"placement"})", R"("stage","name":"beam","index":2,"count":5})",
          R"("progress","done":3,"total":10,"unit":"steps","rate":1.5,"eta":null})", R"("metric","name":"loss","value":0.25,"step":100})",
          R"("candidate","id":"a","placement":["attention","gla"],"scores":{"t":{"accuracy":0.5,"negative_loss":null}},"cost":{"state_bytes":1,"parameters":2,"decode_tokens_per_second":3.5},"origin":"beam","objective":"t","layer":1})",
          R"("token","id":17,"text":"h","model":"m","request":"r","index":3})", R"("checkpoint","step":100,"path":"checkpoints/step-100"})",
          R"("warning","message":"slow","hint":"h"})", R"("result","artifact":"heatmap","path":"p","values":{"best":3}})",
          R"("error","class":"input","message":"broken","hint":"h","request":"r"})", R"("bye","code":0,"reason":"done"})", R"("later","x":[1,{"y":null}]})"}) {
        out.push_back(std::string(head) + rest + "\n");
        all += out.back();
    }
    out.push_back(all);
    out.push_back(all.substr(0, all.size() / 2) + "\r\n\n" + all.substr(all.size() / 2, 99));
    return out;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    static const test::TemporaryFolder folder;
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    std::vector<Event> piped;
    EventParser parser("pipe");
    const std::size_t chunk = 1 + (size > 0 ? data[size - 1] : 0);
    for (std::size_t at = 0; at < size; at += chunk)
        parser.feed(bytes.substr(at, chunk), piped);

    const std::filesystem::path file = folder / "events.jsonl";
    test::writeFile(file, bytes);
    EventReader reader(file);
    std::vector<Event> read;
    for (std::int64_t before = -1; before != reader.offset();) {
        before = reader.offset();
        for (Event& event : reader.readNew(chunk))
            read.push_back(std::move(event));
    }
    const auto lines = static_cast<std::int64_t>(bytes.rfind('\n') == std::string_view::npos ? 0 : bytes.rfind('\n') + 1);
    fuzz::require(reader.offset() == lines && reader.restarts() == 0 && reader.badLines() == parser.badLines());
    fuzz::require(read.size() == piped.size());
    for (std::size_t i = 0; i < read.size(); ++i) {
        const Json json = toJson(read[i]);
        fuzz::require(json == toJson(piped[i]));
        const bool again = fuzz::accepted([&] { fuzz::require(toJson(eventFromJson(parseJson(dumpJson(json), "again"), "again")) == json); });
        fuzz::require(again);
    }
    return 0;
}
