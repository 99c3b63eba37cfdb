# SPDX-License-Identifier: Apache-2.0
"""Conan 2 recipe of attune, made of the checkout that it lies in: conan create cmake/conan --build=missing"""

import os
import re

from conan import ConanFile
from conan.tools.build import check_min_cppstd
from conan.tools.cmake import CMake, CMakeDeps, CMakeToolchain, cmake_layout
from conan.tools.files import copy, load, rmdir


class AttuneConan(ConanFile):
    name = "attune"
    description = "Real-time recommendation inside a C++ program"
    homepage = "https://github.com/attune/attune"
    license = "Apache-2.0"
    topics = ("recommender-system", "transformer")
    package_type = "library"
    settings = "os", "arch", "compiler", "build_type"
    options = {"shared": [True, False], "fPIC": [True, False], "sqlite": [True, False], "redis": [True, False],
               "sodium": [True, False], "gmp": [True, False], "c": [True, False], "tool": [True, False]}
    default_options = {"shared": False, "fPIC": True, "sqlite": True, "redis": True, "sodium": True, "gmp": True,
                       "c": True, "tool": True}
    implements = ["auto_shared_fpic"]

    def _checkout(self):
        return os.path.join(self.recipe_folder, "..", "..")

    def set_version(self):
        header = load(self, os.path.join(self._checkout(), "include", "attune", "version.hpp"))
        self.version = ".".join(re.findall(r"#define ATTUNE_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", header))

    def export_sources(self):
        for pattern in ("CMakeLists.txt", "LICENSE", "cmake/*", "include/*", "src/*"):
            copy(self, pattern, self._checkout(), self.export_sources_folder)

    def requirements(self):
        self.requires("zlib/[>=1.2.11 <2]")
        self.requires("xz_utils/[>=5.2.5 <6]")
        self.requires("utf8proc/[>=2.5 <3]")
        self.requires("nlohmann_json/[>=3.10 <4]")
        self.requires("eigen/[>=3.4 <4]")
        if self.options.sqlite:
            self.requires("sqlite3/[>=3.35 <4]")
        if self.options.redis:
            self.requires("hiredis/[>=1.0 <2]")
        if self.options.sodium:
            self.requires("libsodium/[>=1.0.18 <2]")
        if self.options.gmp:
            self.requires("gmp/[>=6.2 <7]")
        if self.options.tool:
            self.requires("cli11/[>=2.1 <3]")

    def validate(self):
        check_min_cppstd(self, 20)

    def layout(self):
        cmake_layout(self)

    def generate(self):
        toolchain = CMakeToolchain(self)
        for part in ("NODE", "TESTS", "EXAMPLES", "BENCHMARKS"):
            toolchain.cache_variables["ATTUNE_BUILD_" + part] = False
        toolchain.cache_variables["ATTUNE_BUILD_C"] = bool(self.options.c)
        toolchain.cache_variables["ATTUNE_BUILD_TOOL"] = bool(self.options.tool)
        toolchain.cache_variables["ATTUNE_WITH_SQLITE"] = bool(self.options.sqlite)
        toolchain.cache_variables["ATTUNE_WITH_REDIS"] = bool(self.options.redis)
        toolchain.cache_variables["ATTUNE_WITH_SODIUM"] = bool(self.options.sodium)
        toolchain.cache_variables["ATTUNE_WITH_GMP"] = bool(self.options.gmp)
        toolchain.generate()
        deps = CMakeDeps(self)
        # By the names that attune's own find modules have.
        for package, name in (("utf8proc", "utf8proc"), ("hiredis", "hiredis"), ("libsodium", "sodium"),
                              ("gmp", "GMP")):
            deps.set_property(package, "cmake_file_name", name)
            deps.set_property(package, "cmake_target_name", f"{name}::{name}")
        deps.generate()

    def build(self):
        cmake = CMake(self)
        cmake.configure()
        cmake.build()

    def package(self):
        copy(self, "LICENSE", self.source_folder, os.path.join(self.package_folder, "licenses"))
        CMake(self).install()
        # What Conan writes itself for those who consume the package.
        rmdir(self, os.path.join(self.package_folder, "lib", "cmake"))
        rmdir(self, os.path.join(self.package_folder, "lib", "pkgconfig"))
        rmdir(self, os.path.join(self.package_folder, "share", "doc"))

    def package_info(self):
        self.cpp_info.set_property("cmake_file_name", "attune")
        library = self.cpp_info.components["attune"]
        library.set_property("cmake_target_name", "attune::attune")
        library.set_property("pkg_config_name", "attune")
        library.libs = ["attune"]
        library.system_libs = ["pthread", "m"]
        library.requires = ["zlib::zlib", "xz_utils::xz_utils", "utf8proc::utf8proc", "nlohmann_json::nlohmann_json",
                            "eigen::eigen"]
        for option, target in (("sqlite", "sqlite3::sqlite3"), ("redis", "hiredis::hiredis"),
                               ("sodium", "libsodium::libsodium"), ("gmp", "gmp::gmp"), ("tool", "cli11::cli11")):
            if self.options.get_safe(option):
                library.requires.append(target)
        if self.options.c:
            interface = self.cpp_info.components["c"]
            interface.set_property("cmake_target_name", "attune::c")
            interface.set_property("pkg_config_name", "attune_c")
            interface.libs = ["attune_c"]
