// SPDX-License-Identifier: Apache-2.0
#include <sys/stat.h>

#include <filesystem>
#include <random>

#include "catch.hpp"
#include "cli/tool.hpp"
#include "data/compression.hpp"

using attune::test::contents;
using attune::test::Run;
using attune::test::Sandbox;
namespace fs = std::filesystem;

namespace {

// Ids, times and ratings that a detour through numbers would change, and text that every form has to quote somewhere.
const std::string kTable =
    "user,item,rating,timestamp,title\n"
    "007,9148955329465708066,4.50,1700000000,\"Amelie, \"\"the\tfilm\"\"\"\n"
    "-0,i 2,1e-3,1700000000.25,\xC3\xA9t\xC3\xA9\n"
    "\"u\n3\", x ,-5,0,\n"
    "1e5,{i4},10000000000000000000001,12,\\u0041\n";

// Standard error of a run of convert that fails.
std::string error_of(const Sandbox& sandbox, const std::string& arguments, const std::string& input = "") {
  const Run run = sandbox.attune("convert " + arguments, input);
  INFO(run.err);
  CHECK(run.status == 1);
  return run.err;
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("convert leaves every field as it is, whatever the forms between", "[cli][convert]") {
  const Sandbox sandbox;
  sandbox.write("table.csv", kTable);
  std::string from = "table.csv";
  for (const std::string to : {"a.jsonl", "b.inter", "c.tsv", "d.ndjson.gz", "e.tsv.gz", "f.item", "g.csv.gz",
                               "h.inter.gz", "i.user", "j.jsonl", "table2.csv"}) {
    const Run run = sandbox.attune("convert " + from + " " + to + " --json");
    INFO(run.err);
    REQUIRE(run.status == 0);
    CHECK(run.json()["written"] == 4);
    CHECK(run.json()["load"]["records"] == 4);
    CHECK(run.json()["load"]["dropped"].empty());
    CHECK(run.json()["output"] == to);
    from = to;
  }
  CHECK(sandbox.read("table2.csv") == kTable);
  CHECK(sandbox.read("b.inter").rfind("user_id:token\titem_id:token\trating:float\ttimestamp:float\ttitle:token\n",
                                      0) == 0);
  CHECK(sandbox.read("a.jsonl").rfind(
            R"({"user":"007","item":"9148955329465708066","rating":4.50,"timestamp":1700000000,)"
            R"("title":"Amelie, \"the\tfilm\""})"
            "\n",
            0) == 0);
  CHECK(sandbox.read("g.csv.gz").rfind("\x1F\x8B", 0) == 0);
}

TEST_CASE("A model learns the same from every form of its interactions", "[cli][convert]") {
  const Sandbox sandbox;
  sandbox.events();
  const std::string train = "train --preset markov --threads 1 --output ";
  REQUIRE(sandbox.attune(train + "model --interactions events.csv").status == 0);
  for (const std::string form : {"jsonl", "inter", "tsv.gz"}) {
    REQUIRE(sandbox.attune("convert events.csv events." + form).status == 0);
    const Run run = sandbox.attune(train + form + " --json --interactions events." + form);
    INFO(run.err);
    REQUIRE(run.status == 0);
    CHECK(contents(sandbox.path(form)) == contents(sandbox.path("model")));
    CHECK(run.json()["load"]["form"] == (form == "jsonl" ? "json_lines" : form == "inter" ? "atomic" : "delimited"));
  }
  CHECK(sandbox.attune(train + "other --interactions events.jsonl").out.find("JSON lines") != std::string::npos);
}

TEST_CASE("MovieLens 100K is trained on as it is", "[cli][convert]") {
  const Sandbox sandbox;
  std::string ratings, items;
  for (int i = 0; i < 200; ++i) {
    ratings +=
        std::to_string(1 + i / 10) + '\t' + std::to_string(1 + i % 7) + "\t3\t" + std::to_string(881250000 + i) + '\n';
  }
  for (int item = 1; item < 8; ++item) {
    items += std::to_string(item) + "|Caf\xE9 (1995)|01-Jan-1995||http://x|0|0|0|0|0|1|0|0|1|0|0|0|0|0|0|0|0|0|0\n";
  }
  sandbox.write("u.data", ratings);
  sandbox.write("u.item", items);
  const Run trained = sandbox.attune("train --preset popularity --interactions u.data --items u.item --output model");
  INFO(trained.err);
  REQUIRE(trained.status == 0);
  const auto answer = sandbox.attune("recommend --model model --user 1 -k 1 --items u.item --json --seen keep").json();
  CHECK(answer["items"][0]["title"] == "Caf\xC3\xA9 (1995)");
}

TEST_CASE("convert reads what has no header line, and Latin-1", "[cli][convert]") {
  const Sandbox sandbox;
  sandbox.write("movies.dat", "1::Caf\xE9 (1995)::Drama|War\n2::\"Q\"::\n");
  CHECK(sandbox.attune("convert movies.dat items.csv --columns item,title,genres --encoding latin-1").status == 0);
  CHECK(sandbox.read("items.csv") == "item,title,genres\n1,Caf\xC3\xA9 (1995),Drama|War\n2,\"\"\"Q\"\"\",\n");
  sandbox.write("u.data", "196\t242\t3\t881250949\n");
  CHECK(sandbox.attune("convert u.data ratings.jsonl").status == 0);
  CHECK(sandbox.read("ratings.jsonl") == R"({"user":"196","item":"242","rating":3,"timestamp":881250949})"
                                         "\n");
  const std::string input = R"({"uid":"u","x":{"y":1},"movie":5})"
                            "\n";
  CHECK(sandbox.attune("convert - - --columns user,,item", input).status == 2);
  CHECK(sandbox.attune("convert - plain.csv --columns user,,item", input).status == 0);
  CHECK(sandbox.read("plain.csv") == "user,item\nu,5\n");
}

TEST_CASE("convert reports what it kept and what it refused", "[cli][convert]") {
  const Sandbox sandbox;
  sandbox.write("events.jsonl", R"({"user":"u","item":"i","rating":1})"
                                "\n{\n"
                                R"({"user":"u","item":"i","rating":"high"})"
                                "\n\n"
                                R"({"user":"u","item":[],"rating":1})"
                                "\n"
                                R"({"user":"u","item":"j","rating":2})"
                                "\n");
  const auto report = sandbox.attune("convert events.jsonl events.inter --skip-bad-lines --json").json();
  CHECK(report["written"] == 2);
  CHECK(report["form"] == "atomic");
  CHECK(report["load"]["records"] == 5);
  CHECK(report["load"]["blank_lines"] == 1);
  REQUIRE(report["load"]["dropped"].size() == 3);
  CHECK(report["load"]["dropped"][0]["reason"] == "not a JSON object");
  CHECK(report["load"]["dropped"][1]["reason"] == "bad number in rating");
  CHECK(report["load"]["dropped"][1]["first_line"] == 3);
  CHECK(report["load"]["dropped"][2]["reason"] == "nested value");
  CHECK(sandbox.read("events.inter") == "user_id:token\titem_id:token\trating:float\nu\ti\t1\nu\tj\t2\n");
  const Run text = sandbox.attune("convert events.jsonl events.csv --skip-bad-lines");
  CHECK(text.out.find("1 dropped: nested value, first in line 5") != std::string::npos);
  CHECK(text.out.find("3 records written to events.csv") != std::string::npos);
  sandbox.write("lines.csv", "user,item\nu,i,1\nu\nv,j\n");
  const auto lines = sandbox.attune("convert lines.csv out.tsv --skip-bad-lines --json").json();
  CHECK(lines["load"]["dropped"][0]["reason"] == "too many fields");
  CHECK(lines["load"]["dropped"][1]["reason"] == "too few fields");
}

TEST_CASE("convert writes numbers of JSON where a text is one, and no part of a record that it refuses",
          "[cli][convert]") {
  const Sandbox sandbox;
  const std::string input =
      "user,item,rating,timestamp\n1,2,05,2024-05-01\n1,\xE9,5,2024-05-02\n1,3,,2024-05-03\n1,4,5.,2024-05-04\n";
  const Run run = sandbox.attune("convert - out.jsonl --skip-bad-lines --json", input);
  INFO(run.err);
  REQUIRE(run.status == 0);
  CHECK(run.json()["load"]["dropped"][0]["reason"] == "not UTF-8");
  CHECK(run.json()["load"]["dropped"][0]["first_line"] == 3);
  CHECK(sandbox.read("out.jsonl") == R"({"user":"1","item":"2","rating":"05","timestamp":"2024-05-01"})"
                                     "\n"
                                     R"({"user":"1","item":"3","rating":"","timestamp":"2024-05-03"})"
                                     "\n"
                                     R"({"user":"1","item":"4","rating":"5.","timestamp":"2024-05-04"})"
                                     "\n");
}

TEST_CASE("convert stops at a record that it cannot read or write and leaves what was there", "[cli][convert]") {
  const Sandbox sandbox;
  const auto error = [&](const std::string& arguments, const std::string& input) {
    const Run run = sandbox.attune("convert - " + arguments, input);
    INFO(run.err);
    CHECK(run.status == 1);
    CHECK(run.err.find("planted") == std::string::npos);
    return run.err;
  };
  for (const std::string name : {"out.csv", "out.jsonl", "out.inter", "out.csv.gz"}) sandbox.write(name, "old");
  const std::string u = "planted-user-7f3a";
  CHECK(error("out.csv", "user,item\n" + u + ",i,1\n").find(":2: expected 2 fields, found 3") != std::string::npos);
  CHECK(error("out.csv.gz", "user,item\n\"" + u + "\"x,i\n").find(":2: expected a separator") != std::string::npos);
  CHECK(error("out.csv", R"({"user":"u","item":})" + u + "}").find(":1: object, byte") != std::string::npos);
  CHECK(error("out.inter", "user,item,rating\nu,i,1\nu,i," + u + "\n")
            .find(":3: column 'rating': expected a finite number, found other text") != std::string::npos);
  CHECK(error("out.inter", "user,item,timestamp\nu,i,\n").find("found nothing") != std::string::npos);
  CHECK(error("out.jsonl", "user,item\nu,i\n" + u + ",\xE9\n").find(":3: column 'item': expected UTF-8") !=
        std::string::npos);
  CHECK(error("out.jsonl", "user,item,item\nu,i,j\n").find("columns of different names, found 'item' twice") !=
        std::string::npos);
  CHECK(error("out.inter", "user,User,item\nu,v,i\n").find("found 'user' and 'User', which are both 'user_id:token'") !=
        std::string::npos);
  CHECK(error("out.inter", "user,user_id,item\nu,v,i\n").find("found 'user' and 'user_id', which are both") !=
        std::string::npos);
  CHECK(
      error("out.csv", u + ",1\n" + u + ",2\n").find("found 2 columns of other names; where there is no header line") !=
      std::string::npos);
  CHECK(error("out.csv", "user,item\n").find("expected records, found none that can be written in 0") !=
        std::string::npos);
  CHECK(error("out.csv --skip-bad-lines", "user,item\n" + u + "\n").find("first dropped in line 2: too few fields") !=
        std::string::npos);
  CHECK(error("out.csv", "").find("empty file") != std::string::npos);
  CHECK(contents(sandbox.path(".")).size() == 7);  // with those of the run
  for (const std::string name : {"out.csv", "out.jsonl", "out.inter", "out.csv.gz"}) CHECK(sandbox.read(name) == "old");
}

TEST_CASE("convert reads what stands beside its output under any name, and its own output", "[cli][convert]") {
  const Sandbox sandbox;
  sandbox.write("x.csv.new", "user,item\nu,i\n");
  CHECK(sandbox.attune("convert x.csv.new x.csv").status == 0);
  CHECK(sandbox.read("x.csv") == "user,item\nu,i\n");
  CHECK(sandbox.read("x.csv.new") == sandbox.read("x.csv"));
  CHECK(sandbox.attune("convert x.csv x.csv").status == 0);
  CHECK(sandbox.read("x.csv") == "user,item\nu,i\n");
  for (const std::string name : {"u.item", "u.user", "u.user.gz"}) {
    INFO(name);
    sandbox.write("films.csv", "item,user,title\n1,2,Caf\xC3\xA9\n");
    CHECK(sandbox.attune("convert films.csv " + name).status == 0);
    CHECK(sandbox.attune("convert " + name + " again.csv").status == 0);
    CHECK(sandbox.read("again.csv") == sandbox.read("films.csv"));
  }
}

TEST_CASE("convert writes what is longer than a part of it, compressed and plain", "[cli][convert]") {
  const Sandbox sandbox;
  std::mt19937_64 random(7);
  std::string table = "user,item,note\n";
  for (int i = 0; i < 3'000; ++i) {
    table += std::to_string(random()) + ',' + std::to_string(random()) + ",n" + std::to_string(random()) + '\n';
  }
  table += "u,i," + std::string(200'000, 'x') + "\nlast,one,\n";
  sandbox.write("table.csv", table);
  CHECK(sandbox.attune("convert table.csv packed.csv.gz --json").json()["written"] == 3'002);
  CHECK(sandbox.read("packed.csv.gz").size() > 65'536);
  CHECK(sandbox.attune("convert packed.csv.gz table2.tsv").status == 0);
  CHECK(sandbox.attune("convert table2.tsv table2.csv").status == 0);
  CHECK(sandbox.read("table2.csv") == table);
}

TEST_CASE("convert keeps the types of atomic files, names that look like types, and fields that look like JSON",
          "[cli][convert]") {
  const Sandbox sandbox;
  const std::string films =
      "item_id:token\ttitle:token_seq\tprice:float\tvector:float_seq\trating:token\n1\tToy Story\t2.5\t1 2\tR\n";
  sandbox.write("films.item", films);
  CHECK(sandbox.attune("convert films.item again.item").status == 0);
  CHECK(sandbox.read("again.item") == films);
  CHECK(sandbox.attune("convert films.item named.item --columns item,title,,vector,").status == 0);
  CHECK(sandbox.read("named.item") == "item_id:token\ttitle:token_seq\tvector:float_seq\n1\tToy Story\t1 2\n");
  const std::string odd = R"({"user:token":"a","user_id:token":"b","item":"i"})"
                          "\n";
  sandbox.write("odd.jsonl", odd);
  for (const std::string form : {"csv", "inter", "tsv"}) {
    INFO(form);
    CHECK(sandbox.attune("convert odd.jsonl odd." + form).status == 0);
    CHECK(sandbox.attune("convert odd." + form + " again.jsonl").status == 0);
    CHECK(sandbox.read("again.jsonl") == odd);
  }
  const std::string braces = R"({"{\"a\"}":"[{1}]","item":"i","\ufefft":"x"})"
                             "\n";
  sandbox.write("braces.jsonl", braces);
  CHECK(sandbox.attune("convert braces.jsonl braces.csv").status == 0);
  CHECK(sandbox.read("braces.csv").rfind("\"{\"\"a\"\"}\",item,", 0) == 0);
  CHECK(sandbox.attune("convert braces.csv again.csv").status == 0);
  CHECK(sandbox.read("again.csv") == sandbox.read("braces.csv"));
  sandbox.write("marked.jsonl", R"({"\ufeff[":"x","item":"i"})");
  CHECK(sandbox.attune("convert marked.jsonl marked.csv").status == 0);
  CHECK(sandbox.attune("convert marked.csv again.csv").status == 0);
  CHECK(sandbox.read("again.csv") == sandbox.read("marked.csv"));
}

TEST_CASE("convert refuses columns without a name unless they are named so", "[cli][convert]") {
  const Sandbox sandbox;
  const std::string indexed = ",user,item\n0,u,i\n";
  CHECK(contains(error_of(sandbox, "- out.csv", indexed),
                 "standard input: expected a name for each column, found none for column 1; name the columns "
                 "(--columns), and leave out those without a name"));
  CHECK(contains(error_of(sandbox, "- out.jsonl", R"({"user":"u","item":"i"," ":1})"), "found none for column 3"));
  CHECK(sandbox.attune("convert - out.csv --columns ,user,item --skip-header", indexed).status == 0);
  CHECK(sandbox.read("out.csv") == "user,item\nu,i\n");
  CHECK(sandbox.attune("convert - out.csv", R"({" user ":"u","item":"i"})").status == 0);
  CHECK(sandbox.read("out.csv") == "user,item\nu,i\n");
}

TEST_CASE("convert says what to do about columns of other names, as far as there is something", "[cli][convert]") {
  const Sandbox sandbox;
  const std::string found = "found 2 columns of other names";
  CHECK(contains(error_of(sandbox, "- o.csv", "a,b\n1,2\n"),
                 found + "; where there is no header line, name the columns"));
  CHECK(contains(error_of(sandbox, "- o.csv", R"({"a":1,"b":2})"),
                 found + "; name the fields in their order (--columns)"));
  CHECK(contains(error_of(sandbox, "- o.csv", "a:token\tb:float\n1\t2\n"),
                 found + "; give the columns other names (--columns)"));
  CHECK(contains(error_of(sandbox, "- o.csv --columns a,b", "1,2\n"), found + "\n"));
}

TEST_CASE("convert refuses a record that would be too long to be read", "[cli][convert]") {
  const Sandbox sandbox;
  const std::string quotes(9 << 20, '"');
  sandbox.write("long.tsv", "user\titem\nu\ti" + quotes + "\nv\tj\n");
  const auto report = sandbox.attune("convert long.tsv out.csv --skip-bad-lines --json").json();
  CHECK(report["written"] == 1);
  CHECK(report["load"]["dropped"][0]["reason"] == "too long");
  CHECK(contains(error_of(sandbox, "long.tsv out.jsonl"),
                 "long.tsv:2: expected a record of at most 16 MiB as it is written, found a longer one"));
}

TEST_CASE("convert replaces regular files alone, and leaves them their permissions", "[cli][convert]") {
  const Sandbox sandbox;
  const std::string input = "user,item\nu,i\n";
  fs::create_directory(sandbox.path("d.csv"));
  REQUIRE(::mkfifo(sandbox.path("f.csv").c_str(), 0600) == 0);
  CHECK(contains(error_of(sandbox, "- d.csv", input), "\"d.csv\": Is a directory"));
  CHECK(contains(error_of(sandbox, "- f.csv", input), "\"f.csv\": Not a regular file"));
  sandbox.write("own.csv", "old");
  const fs::perms own = fs::perms::owner_read | fs::perms::owner_write;
  fs::permissions(sandbox.path("own.csv"), own);
  fs::create_symlink("own.csv", sandbox.path("link.csv"));
  CHECK(sandbox.attune("convert - link.csv", input).status == 0);
  CHECK(fs::is_symlink(sandbox.path("link.csv")));
  CHECK(sandbox.read("own.csv") == input);
  CHECK(fs::status(sandbox.path("own.csv")).permissions() == own);
}

TEST_CASE("convert keeps a record whose only field is blank", "[cli][convert]") {
  const Sandbox sandbox;
  sandbox.write("items.csv", "item\na\n\"\"\n\" \"\n");
  CHECK(sandbox.attune("convert items.csv out.jsonl --json").json()["written"] == 3);
  CHECK(sandbox.attune("convert out.jsonl again.csv --json").json()["written"] == 3);
  CHECK(sandbox.read("again.csv") == "item\na\n\"\"\n\" \"\n");
}
