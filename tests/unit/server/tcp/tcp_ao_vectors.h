/* tcp_ao_vectors.h - test vectors of RFC 9235: segments from the TCP header on, with their traffic keys; master key "testvector" */
#ifndef HOSTSTACK_TESTS_TCP_AO_VECTORS_H
#define HOSTSTACK_TESTS_TCP_AO_VECTORS_H

#include <stdbool.h>
#include <stdint.h>

enum { VECTOR_SHA1 = 1, VECTOR_CMAC = 2 };
struct tcp_ao_vector {
    const char *section;
    uint8_t alg;
    bool exclude, is_v6, from_server;
    uint32_t client_isn, server_isn;
    const char *key, *segment;
};
/* client 10.11.12.13 or fd00::1, server 172.27.28.29 or fd00::2 */
#define BGP4 "ffffffffffffffffffffffffffffffff00430104dabf00b40a0b0c0d26020601040001000102028000020202000202420002064104000" \
             "0dabf020840060064000101" "00"
#define BGP6 "ffffffffffffffffffffffffffffffff00430104fde800b40101017926020601040001000102028000020202000202420002064104000" \
             "0fde8020840060064000101" "00"
static const struct tcp_ao_vector tcp_ao_vectors[] = {
    { "4.1.1", VECTOR_SHA1, false, false, false, 0xfbfbab5a, 0x11c14261, "6d63ef1b02fe1509d4b1402707fd7b0416abb74f",
      "e9d700b3fbfbab5a00000000e002ffffcac40000020405b4010303080402080a00155ab7000000001d103d542ee437c6f8ede6d7c4d602e7" },
    { "4.1.2", VECTOR_SHA1, false, false, true, 0xfbfbab5a, 0x11c14261, "d9e217e4834a80ca2f3fd8de2e41b8e6797fea96",
      "00b3e9d711c14261fbfbab5be012ffff37760000020405b4010303080402080a84a50beb00155ab71d10543deeab0fe24c3010815116b3be" },
    { "4.1.3", VECTOR_SHA1, false, false, false, 0xfbfbab5a, 0x11c14261, "d2e59c65ffc7b1a393476564" "63b70edc24a13d71",
      "e9d700b3fbfbab5b11c14262c0180104a16200000101080a00155ac184a50beb1d103d547064cf998cc6c315c2c2e2bf" BGP4 },
    { "4.2.1", VECTOR_SHA1, true, false, false, 0xcb0efbee, 0xacd5b5e1, "30eaa1560cf0be57dab5c045229fb10a423cd7ea",
      "ff1200b3cb0efbee00000000e002ffff541f0000020405b4010303080402080a00024cce000000001d103d5480af3cfeb85368937b8f9ec2" },
    { "4.2.2", VECTOR_SHA1, true, false, true, 0xcb0efbee, 0xacd5b5e1, "b5b2896bb3664e8176b0edc6e799524101a8307f",
      "00b3ff12acd5b5e1cb0efbefe012ffff388e0000020405b4010303080402080a576772f300024cce1d10543d09306f9acea63a8c68cb9a70" },
    { "4.2.3", VECTOR_SHA1, true, false, false, 0xcb0efbee, 0xacd5b5e1, "f3db1793d7910ecd806c34f155ea1f00345953e3",
      "ff1200b3cb0efbefacd5b5e2c01801046c4500000101080a00024cce576772f31d103d54710608cc696c03a271c93aa5" BGP4 },
    { "5.1.1", VECTOR_CMAC, false, false, false, 0x787a1ddf, 0xfadd6de9, "f5b8b3d5f34fdbb6eb8d4ab9660e60e3",
      "c4fa00b3787a1ddf00000000e002ffff5a0f0000020405b4010303080402080a00017ed0000000001d103d54e477e99c8040765498e55091" },
    { "5.1.2", VECTOR_CMAC, false, false, true, 0x787a1ddf, 0xfadd6de9, "4bc7571a486f3264bbd888474066b4b1",
      "00b3c4fafadd6de9787a1de0e012fffff3f20000020405b4010303080402080a93f4e9e800017ed01d10543dd6ada7bc4cdd536d1769db5f" },
    { "5.1.3", VECTOR_CMAC, false, false, false, 0x787a1ddf, 0xfadd6de9, "8c8ae0e8371ec5cbb97ea79d90418391",
      "c4fa00b3787a1de0fadd6deac0180104950500000101080a00017ed093f4e9e81d103d5477412742fa4dc433eff0973e" BGP4 },
    { "5.2.1", VECTOR_CMAC, true, false, false, 0x389bed71, 0xd3844a6f, "2cdbae1392c49449fa92c4509735d50e",
      "da1c00b3389bed7100000000e002ffff70bf0000020405b4010303080402080a000185e1000000001d103d54c44e60cb31f7c0b1de3d2749" },
    { "5.2.2", VECTOR_CMAC, true, false, true, 0x389bed71, 0xd3844a6f, "3ce67a551869506b6347b633c50a624a",
      "00b3da1cd3844a6f389bed72e012ffffe4450000020405b4010303080402080ace459838000185e11d10543d3a6abb207e49b1be7136db90" },
    { "5.2.3", VECTOR_CMAC, true, false, false, 0x389bed71, 0xd3844a6f, "035bc400a341ffe595f59f58005006ca",
      "da1c00b3389bed72d3844a70c0180104885100000101080a000185e1ce4598381d103d547585e9e9d5c3ec857b96f837" BGP4 },
    { "6.1.1", VECTOR_SHA1, false, true, false, 0x176a833f, 0x3f51994b, "625ec09d575836edc9b6428418bbf06989a361bb",
      "f7e400b3176a833f00000000e002ffff47210000020405a0010303080402080a0041d087000000001d103d549033ec3d7334b64c5edd039f" },
    { "6.1.2", VECTOR_SHA1, false, true, true, 0x176a833f, 0x3f51994b, "e4a37ada2a0afca8711434913fe138c771ebcb4a",
      "00b3f7e43f51994b176a8340e012ffffbfec0000020405a0010303080402080abd33129b0041d0871d10543df1cba346c3526163f71f1f55" },
    { "6.1.3", VECTOR_SHA1, false, true, false, 0x176a833f, 0x3f51994b, "1ed82975f4ea444c61580c5bd90dbd61bbc91b7e",
      "f7e400b3176a83403f51994cc0180100329c00000101080a0041d091bd33129b1d103d54bf0805feb4ac7b163d6fcdf2" BGP6 },
    { "6.2.1", VECTOR_SHA1, true, true, false, 0x020c1e69, 0xeba3734d, "31a3faf69effae52931b7f845467315c270a4edc",
      "c6cd00b3020c1e6900000000e002ffffa41a0000020405a0010303080402080a009db95b000000001d103d54885698b0530ed4d5a15f8346" },
    { "6.2.2", VECTOR_SHA1, true, true, true, 0x020c1e69, 0xeba3734d, "405108947f996575e7bdbc26d40216a2c7fa91bd",
      "00b3c6cdeba3734d020c1e6ae012ffff774d0000020405a0010303080402080a5ec99b70009db95b1d10543d3c546bad9743f12df8b8010d" },
    { "6.2.3", VECTOR_SHA1, true, true, false, 0x020c1e69, 0xeba3734d, "b34eed6a9396a669f1c4f4f57618f3656f52c7ab",
      "c6cd00b3020c1e6aeba3734ec018010083e600000101080a009db9655ec99b701d103d5448bd093b1924e001192f5bf0" BGP6 },
    { "7.1.1", VECTOR_CMAC, false, true, false, 0x193cccec, 0xa6744ecb, "fa5a2108882d39d0c71929175ab1b7b8",
      "f85a00b3193cccec00000000e002ffffde5d0000020405a0010303080402080a13e4ab99000000001d103d5459b588107481ac6dc3927040" },
    { "7.1.2", VECTOR_CMAC, false, true, true, 0x193cccec, 0xa6744ecb, "cf1b1e225e06a63616764a067b46f4b1",
      "00b3f85aa6744ecb193ccced" "e012ffffeabb0000020405a0010303080402080a71daabc813e4ab991d10543ddc2843a84e78a6bcfdc5ed80" },
    { "7.1.3", VECTOR_CMAC, false, true, false, 0x193cccec, 0xa6744ecb, "6174c3557abed27574dba37185f00300",
      "f85a00b3193ccceda6744eccc0180100328000000101080a13e4aba371daabc81d103d547b6a455c0d4f5f01835baab3" BGP6 },
    { "7.2.1", VECTOR_CMAC, true, true, false, 0xb01da74a, 0xa6246145, "a94f511263e4093d35dd818c13bbbf53",
      "f28800b3b01da74a00000000e002ffff75ff0000020405a0010303080402080a14275b3b000000001d103d543d45b4342de8bb1530847898" },
    { "7.2.2", VECTOR_CMAC, true, true, true, 0xb01da74a, 0xa6246145, "92dea5bbc78b1d9f5b2952e9cd30642a",
      "00b3f288a6246145b01da74be012ffffa70c0000020405a0010303080402080a1782245b14275b3b1d10543d1d01f6c87c6f93acffa9d4b5" },
    { "7.2.3", VECTOR_CMAC, true, true, false, 0xb01da74a, 0xa6246145, "4fb2086e402c679079ed65d4bf97693d",
      "f28800b3b01da74ba6246146c0180100c36d00000101080a14275b4f1782245b1d103d54290cf414ccb47a333276e7f8" BGP6 },
};

#endif
